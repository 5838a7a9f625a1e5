"""How children leave: those that have nothing to do, and those that are to be replaced.

Threads: any; what is lined up under the lock is sent by `Farewells.flush`, without it.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from typing import TYPE_CHECKING, Final

from runtime.backends.process.child_state import ChildEvent, ChildState
from runtime.backends.process.wire import FrameType, frame
from runtime.locking import locked
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub

__all__ = ("Farewells",)

_PATIENCE: Final = 5.0  # seconds that a child has to leave, its finalizer included


class Farewells:
    """See the module.

    Args:
        hub: What it works on.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking
        self._fleet = hub.fleet
        self.unborn: Callable[[Child], object] = self.kill  # ends one whose start takes too long
        self._looks_at_idle = False  # protected by the pool's lock

    # ---- who may go -----------------------------------------------------------------------

    def look(self) -> None:
        """Let those leave that have nothing to do and are not to stay."""
        self._look()
        self.flush()

    @locked
    def _look(self) -> None:
        fleet = self._fleet
        if not fleet.closing:
            self._look_at_idle()
        elif fleet.queue.is_empty() and not fleet.again:
            for child in list(fleet.children.values()):
                if child.state in {ChildState.IDLE, ChildState.STARTING}:
                    self.let_go(child)

    def _look_at_idle(self) -> None:
        """Let those go that are idle for long; come back when the next one may be. Needs lock."""
        fleet, limit = self._fleet, self.hub.settings.idle_timeout
        if limit is None or not fleet.idle:
            return
        now = self.hub.clock.now()
        for child in list(fleet.idle):  # the one that is idle longest comes first
            if now - child.since < limit:
                break
            if len(fleet.children) - fleet.leaving <= self.hub.settings.min_workers:
                return
            self.let_go(child)
        if fleet.idle and not self._looks_at_idle:
            with contextlib.suppress(RuntimeError):  # no thread is to be had; see `must_look`
                fleet.idle_timer = self.hub.deadlines.add(
                    fleet.idle[0].since + limit,
                    functools.partial(self.hub.collector.ask, self._again),
                )
                self._looks_at_idle = True

    def _again(self) -> None:
        self._looks_at_idle = False
        self.look()

    def must_look(self) -> bool:
        """Tell whether `look` has to be called now that a child is idle. Needs lock."""
        return self._fleet.closing or (
            not self._looks_at_idle and self.hub.settings.idle_timeout is not None
        )

    # ---- going ----------------------------------------------------------------------------

    @locked
    def let_go(self, child: Child) -> None:
        """Have *child* leave; what it has not begun goes to others. `flush` sends it."""
        child.outbox.put((frame(FrameType.LEAVE), (), None))
        self.expect(child)

    @locked
    def expect(self, child: Child) -> None:
        """*child* is about to end by itself; where it does not, it is killed."""
        fleet = self._fleet
        fleet.take_back(child)
        if child in fleet.idle:
            fleet.idle.remove(child)
        if child.state is not ChildState.LEAVING:
            fleet.leaving += 1
        child.advance(ChildEvent.LET_GO)
        child.is_dying = True
        self.watch(child, _PATIENCE, self._lose_patience)

    def flush(self) -> None:
        """Send what was lined up."""
        for child in self._leaving():
            child.outbox.flush()

    @locked
    def _leaving(self) -> list[Child]:
        fleet = self._fleet
        if not fleet.leaving:
            return []
        return [one for one in fleet.children.values() if one.state is ChildState.LEAVING]

    def kill(self, child: Child, *, on_purpose: bool = True) -> None:
        """End *child*, whatever it does; *on_purpose*: it is not counted as a crash."""
        child.is_dying = child.is_dying or on_purpose
        child.send_signal(signal.SIGKILL)

    def _lose_patience(self, child: Child) -> None:
        child.why_ended = child.why_ended or "it was to leave, and did not in time"
        self.kill(child)
        if not child.pid:
            self.unborn(child)

    def watch(self, child: Child, seconds: float, call: Callable[[Child], object]) -> None:
        """Call *call*, on the collector's thread, in *seconds*; instead of what was watched."""
        collector = self.hub.collector
        child.cancel_timer()
        try:
            child.timer = self.hub.deadlines.add_in(
                seconds, lambda: collector.ask(functools.partial(call, child))
            )
        except RuntimeError as error:
            logger(__name__).warning("worker process %d has no limit of time: %s", child.pid, error)
