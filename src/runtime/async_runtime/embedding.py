"""What a host needs to drive the loop from its own: steps, deadlines, and two kinds of bell.

The bells, `on_wake` and the descriptor of `fileno`, are asked for at the end of each outermost
run (`EmbeddedLoop._tell_host`) and never ring while one is under way, except for a run that sleeps.
Source: async-runtime-spec.md, section 8; ADR-008.
"""

from __future__ import annotations

import math
import sys
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING, Final, Literal, cast

from runtime.async_runtime.loop import DONE, LOOK, SPENT, STALLED, STOPPED
from runtime.async_runtime.markers import Marker
from runtime.async_runtime.ownership import OwnedLoop, Run
from runtime.clock import check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.timer_heap import Timer
    from runtime.async_runtime.watching import Watched

__all__ = ("EmbeddedLoop", "check_count")


_CHUNK: Final = 16  # polls between two looks at the clock, at most
_SHORT: Final = 100e-6  # seconds: what a chunk may take before every poll gets a look


class EmbeddedLoop(OwnedLoop):
    """A loop that somebody else's loop can step."""

    def step(self) -> bool:
        """Run the timers that are due, poll at most one ready task; never blocks.

        Returns:
            Whether a task was polled.

        Raises:
            InvalidStateError: called from inside of a run of this executor.
            WrongThreadError: the executor belongs to another thread.
            ExecutorClosedError: the executor is closed.
        """
        with Run(cast("Executor", self)) as run:  # cast: the one class made of this one
            run.told_deadline = True  # by next_deadline(), which it asks now
            self._tick()
            if not self.has_ready:
                self._parker.look()
            run.told_ready = polled = self._poll_next() in (SPENT, DONE)
            return polled

    def run_until_stalled(
        self, max_polls: int | None = None, max_time: float | None = None
    ) -> Literal["stalled", "max_polls", "max_time", "stopped"]:
        """Poll until nothing is ready or a budget is spent; never blocks.

        Args:
            max_polls: How many tasks may be polled.
            max_time: Seconds on the executor's clock; a poll under way is not interrupted.

        Returns:
            Why it returned. After ``"stalled"``, `on_wake` and `fileno` tell when to call
            again, and `next_deadline` says when at the latest.

        Raises: as `step`, and
            TypeError: a budget is no number, or *max_polls* no whole one.
            ValueError: a budget is negative, or NaN.
        """
        limit = check_timeout("max_time", max_time)
        left = check_count("max_polls", max_polls)
        with Run(cast("Executor", self)) as run:  # cast: as in step
            run.told_deadline = True  # as in step
            end = math.inf if limit is None else self._clock.now() + limit
            why = self._run_ready(left, end)
            run.told_ready = why != "stalled"
            return why

    def _run_ready(
        self, left: int, end: float
    ) -> Literal["stalled", "max_polls", "max_time", "stopped"]:
        chunk = 1 if end != math.inf else sys.maxsize
        before = -math.inf
        while True:
            self._tick()
            if not self.has_ready:
                if self._timers.may_be_due(self._clock.now()) or self._parker.look():
                    continue
                return "stalled"
            if left <= 0:
                return "max_polls"
            if end != math.inf:
                now = self._clock.now()
                if now >= end:
                    return "max_time"
                # One look at the clock for several polls, while polls are short.
                chunk = min(2 * chunk, _CHUNK) if now - before < _SHORT else 1
                before = now
            why, polled = self._poll_some(min(chunk, left))
            if why == STOPPED:
                return "stopped"
            left -= polled

    def _poll_some(self, wanted: int) -> tuple[int, int]:
        """Poll at most *wanted* tasks; say why no more, and how many."""
        if wanted > 1:
            self._idle, turns = 0, repeat(None, wanted)
            why = self._drain(turns, None)
            return why, wanted - length_hint(turns) - self._idle
        why = self._poll_next()
        return why, why in (SPENT, DONE)

    def _poll_next(self) -> int:
        """Poll one ready task, passing over markers and ended tasks; say what became of it."""
        while True:
            try:
                task = self._pop()
            except IndexError:
                return STALLED
            if task._outcome:
                continue
            why = self._drain(repeat(None, 1), None, [task].pop)
            if not isinstance(task, Marker) or why not in (SPENT, LOOK):
                return why

    def next_deadline(self) -> float | None:
        """Return the point on the clock at which a timer wants the loop, or None."""
        return self._timers.next_deadline()

    def fileno(self) -> int:
        """Return a descriptor that is readable while `has_ready`, for a host's selector.

        It also is while a descriptor is ready that a task waits for (on systems with
        epoll or kqueue). Made on first use, owned by the executor, closed by `close`. Due timers
        do not make it readable: wait no longer than until `next_deadline`. After a fork, the
        child has to ask again.

        Raises:
            ExecutorClosedError: the executor is closed.
        """
        self._check_open()
        descriptor = self._parker.fileno()
        if not self._depth:
            self._tell_host(told_ready=True, told_deadline=True)
        return descriptor

    @property
    def watches_descriptors(self) -> bool:
        """Whether tasks wait for descriptors: of these, only `fileno` tells a host."""
        return self._parker.is_watching

    def _add_timer_in(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return self._add_timer(self._clock.now() + seconds, callback)

    def _watch(self, wait: Watched) -> None:
        """Watch the descriptor of *wait*. Only on the loop's thread."""
        self._check_open()
        self._parker.make_watcher().add(wait)
        self._keep_ticking()

    def _unwatch(self, wait: Watched) -> None:
        """Do not watch it any more. Thread-safe."""
        parker = self._parker
        watcher = parker.watcher
        if watcher is None:
            return
        if self._is_mine():
            watcher.remove(wait)
        else:
            watcher.drop(wait)
            if parker.armed:
                parker.signal()

    def _check_open(self) -> None:
        raise NotImplementedError

    def _tell_host(self, *, told_ready: bool, told_deadline: bool) -> None:
        parker = self._parker
        if not parker.has_host or self._closed:
            return
        parker.clear()
        ready = self._ready
        while ready and ready[0]._outcome:  # woken after its end: nothing to do
            ready.popleft()
        deadline = self._timers.next_deadline()
        earlier = deadline is not None and (self._told is None or deadline < self._told)
        self._told = deadline
        if told_ready and self.has_ready:
            parker.armed = False  # the host will come back without a bell
            parker.mark_readable()
            return
        parker.arm()
        if self.has_ready or (earlier and not told_deadline):  # came in between: as in parking
            parker.signal()


def check_count(name: str, value: int | None) -> int:
    """Return *value*, or a number that is never reached for None.

    Raises:
        TypeError: *value* is no int.
        ValueError: *value* is negative.
    """
    if value is None:
        return sys.maxsize
    if isinstance(value, bool) or not isinstance(cast("object", value), int):  # cast: no types
        raise TypeError(f"{name} must be an int or None, got {value!r}: pass a whole number")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, got {value!r}: pass None for no limit")
    return value
