"""How the function of a job that is over is stopped: asked, then SIGTERM, then SIGKILL.

The future has its outcome by then: nothing here makes anybody wait.
Threads: any; the rungs are climbed on the collector's. Source: worker-api-spec.md, section 10.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Final

from runtime.backends.process.child_state import ChildEvent, ChildState
from runtime.backends.process.page import CANCELLED
from runtime.backends.process.stop_token import TOKEN_SIGNAL
from runtime.locking import locked

if TYPE_CHECKING:
    from runtime.backends.base import JobSink
    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub

__all__ = ("Ladder",)

_REMIND: Final = 0.01  # seconds to the second time that it is asked
_LONGEST_PAUSE: Final = 1.0
_RUNGS: Final = (signal.SIGTERM, signal.SIGKILL)


class Ladder:
    """See the module.

    Args:
        hub: What it works on.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking

    def give_up(self, job: JobSink) -> None:
        """*job* is over, and its function may still run: have it stop."""
        found = self._abandon(job)
        if found is None:
            self._forget(job)
            self.hub.dispatch()
            return
        child, number = found
        grace = self.hub.settings.grace
        if grace == 0:
            self._climb(child, number, 1)
        else:
            self._ask(child, number, _REMIND)
            if grace is not None:
                self._wait(child, number, 0, grace)
        self.hub.dispatch()  # what was behind it goes to others

    @locked
    def _abandon(self, job: JobSink) -> tuple[Child, int] | None:
        fleet = self.hub.fleet
        for child in fleet.children.values():
            if not any(one is job for _, one in child.in_flight):
                continue
            fleet.take_back(child)
            if not child.in_flight or child.in_flight[-1][1] is not job:
                return None  # it never began, or has ended: one behind it has begun
            number = child.in_flight[-1][0]
            child.page.words[CANCELLED] = number
            if child.state is ChildState.BUSY:
                child.advance(ChildEvent.ABANDON)
            return child, number
        return None

    @locked
    def _forget(self, job: JobSink) -> None:
        """It runs nowhere: it was about to, or was to be run again."""
        again = self.hub.fleet.again
        if job in again:
            again.remove(job)
            job.never_began()

    def _wait(self, child: Child, number: int, rung: int, grace: float) -> None:
        collector = self.hub.collector
        child.cancel_timer()
        try:
            child.timer = self.hub.deadlines.add_in(
                grace, lambda: collector.ask(lambda: self._climb(child, number, rung))
            )
        except RuntimeError:  # no thread is to be had that would wait
            self._climb(child, number, rung)

    def _ask(self, child: Child, number: int, pause: float) -> None:
        """Ask, and ask again for as long as the job lasts, in longer and longer pauses.

        A signal that comes when the interpreter has looked for one, and is about to wait, is
        only seen with the next one.
        """
        if not self._send(child, number, TOKEN_SIGNAL):
            return
        collector, longer = self.hub.collector, min(pause * 4, _LONGEST_PAUSE)
        with contextlib.suppress(RuntimeError):  # no thread is to be had that would wait
            self.hub.deadlines.add_in(
                pause, lambda: collector.ask(lambda: self._ask(child, number, longer))
            )

    @locked
    def _send(self, child: Child, number: int, how: int) -> bool:
        """Send a signal to *child*, where it still has that job; False where it has not."""
        # The last one, for what came before it may have ended without having been heard of.
        if child.state is ChildState.DEAD or not child.in_flight:
            return False
        if child.in_flight[-1][0] != number:
            return False
        child.is_dying = child.is_dying or how != TOKEN_SIGNAL
        child.send_signal(how)
        return True

    def _climb(self, child: Child, number: int, rung: int) -> None:
        """Send the signal of *rung*, unless the job has come to its end."""
        if not self._send(child, number, _RUNGS[rung]):
            return
        if rung + 1 < len(_RUNGS):
            self._wait(child, number, rung + 1, self.hub.settings.grace or 0.0)
