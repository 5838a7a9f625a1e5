"""A future that ends at a deadline, whichever of those who wait for it still drives a loop.

The deadline is a point on the clock of whoever asked first. Every executor on that clock that
looks at the future watches it with a timer of its own: one that is closed, or not driven,
keeps nobody else waiting. For everybody else a `DeadlineQueue` watches.
Threads: any; a timer is only added by the thread of its loop.
Source: async-runtime-spec.md, section 7.1; ADR-005.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.async_runtime.running import running
from runtime.async_runtime.timers import DeadlineQueue, shared_deadlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.async_runtime.timer_heap import Timer
    from runtime.clock import Clock

__all__ = ("Timed",)


class Timed:
    """The part with the timers; the class that has it calls `_untimed` and keeps the slots."""

    if not TYPE_CHECKING:
        __slots__ = ()  # who has it has another base too: the slots are in the class of both

    _clock: Clock | None  # of whoever asked first; None: nobody did
    _deadline: float  # on that clock
    _queue: DeadlineQueue | None  # on that clock, made for a party that no loop on it serves
    _timers: list[Timer]  # one for each loop, and one for a queue

    def _untimed(self) -> None:
        """Start without a deadline."""
        self._clock = self._queue = None
        self._timers = []

    def _watch(self, seconds: float) -> None:
        """Have the loop that runs on this thread watch, or a queue; *seconds* count once."""
        executor = running.executor
        clock = self._clock
        if clock is None:
            clock = shared_deadlines().clock if executor is None else executor._clock
            self._deadline = clock.now() + seconds
            self._clock = clock
        if executor is not None and executor._clock is clock:
            heap = executor._timers
            for timer in self._timers:
                if timer.heap is heap:
                    return
            self._timers.append(executor._add_timer(self._deadline, self._expire))
        else:
            self._watch_elsewhere(clock)

    def _watch_elsewhere(self, clock: Clock) -> None:
        """Have a queue watch: the process's, or one on the clock that the deadline is on."""
        queue = self._queue
        if queue is None:
            shared = shared_deadlines()
            queue = self._queue = shared if shared.clock is clock else DeadlineQueue(clock)
        if not queue.has_any_of(self._timers):
            self._timers.append(queue.add(self._deadline, self._expire))

    def _unwatch(self) -> None:
        """Take every timer back."""
        timers, self._timers = self._timers, []  # first: whoever comes now adds a new one
        for timer in timers:
            timer.cancel()

    def _loop_closed(self) -> None:
        """Have a queue watch in place of a loop that is no more, where somebody still waits."""
        if self._clock is not None and self._waiters_left():
            self._watch_elsewhere(self._clock)

    def _waiters_left(self) -> Sequence[object]:
        """Return those who wait."""
        raise NotImplementedError

    def _expire(self) -> None:
        """Settle, where nobody did before: the deadline has come."""
        raise NotImplementedError
