"""Waiting for time, and letting others run.

Source: async-runtime-spec.md, section 7.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.outcome import VALUE, OutcomeFuture
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.running import running
from runtime.async_runtime.timers import shared_deadlines
from runtime.async_runtime.waker import NOOP
from runtime.clock import check_timeout

if TYPE_CHECKING:
    from collections.abc import Generator

    from runtime.async_runtime.poll import Poll
    from runtime.async_runtime.timer_heap import Timer
    from runtime.async_runtime.waiters import Wakeable
    from runtime.async_runtime.waker import Waker

__all__ = ("SleepFuture", "sleep", "yield_now")


class SleepFuture(PromiseFuture[None]):
    """Ready *seconds* after somebody first asked; see `sleep`. Thread-safe.

    The timer belongs to the executor that polls first, or to the process's deadline queue
    where none does. It is taken back when nobody is interested any more.
    """

    __slots__ = ("_deadline", "_seconds", "_timer")

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = seconds  # None: for ever
        self._deadline: float | None = None  # on the clock of whoever asked first
        self._timer: Timer | None = None

    def poll(self, waker: Waker = NOOP) -> Poll[None]:
        """Start the clock at the first poll; see `OutcomeFuture.poll`."""
        if self._deadline is None:
            self._start()
        return super().poll(waker)

    def __await__(self) -> Generator[Poll[Any], object, None]:
        return OutcomeFuture.__await__(self)  # it calls _subscribe, which starts the clock

    def cancel(self) -> bool:
        """Settle as cancelled and take the timer back; False where the time has come."""
        cancelled = super().cancel()
        if cancelled and self._timer is not None:
            self._timer.cancel()
        return cancelled

    def _start(self) -> None:
        """Ask for a wake-up: at the first interest, or again after all interest was gone."""
        if self._seconds is None or self._outcome:
            return
        executor = running.executor
        if executor is None:
            queue = shared_deadlines()
            clock, add = queue.clock, queue.add
        else:
            clock, add = executor._clock, executor._add_timer
        if self._deadline is None:
            self._deadline = clock.now() + self._seconds
        self._timer = add(self._deadline, self._expire)

    def _expire(self) -> None:
        self._settle(VALUE, None)

    def _subscribe(self, waker: Wakeable) -> None:
        super()._subscribe(waker)
        if self._timer is None:
            self._start()

    def _unsubscribe(self, waker: Wakeable) -> None:
        super()._unsubscribe(waker)
        timer = self._timer
        if timer is not None and not self._outcome and not self._waiting():
            self._timer = None  # first: whoever comes now starts it again
            timer.cancel()
            if self._waiting():  # it came before that
                self._start()

    def __repr__(self) -> str:
        return f"<sleep {self._seconds}s>"


def sleep(seconds: float) -> SleepFuture:
    """Return a future that is ready *seconds* after its first poll, on the executor's clock.

    0 waits for one turn of the loop at least; ``math.inf`` sleeps until cancelled.

    Raises:
        ValueError: *seconds* is negative or NaN.
    """
    return SleepFuture(check_timeout("seconds", seconds))


@coroutine
def yield_now() -> Generator[None, object, None]:
    """Let every other ready task have its turn first."""
    yield  # a bare yield: see the loop
