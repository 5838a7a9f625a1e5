"""Waiting for time, and letting others run.

Source: async-runtime-spec.md, section 7.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.outcome import VALUE, OutcomeFuture
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.timed import Timed
from runtime.async_runtime.waker import NOOP
from runtime.clock import check_timeout

if TYPE_CHECKING:
    from collections.abc import Generator

    from runtime.async_runtime.poll import Poll
    from runtime.async_runtime.waiters import Wakeable
    from runtime.async_runtime.waker import Waker

__all__ = ("SleepFuture", "sleep", "yield_now")


class SleepFuture(Timed, PromiseFuture[None]):
    """Ready *seconds* after somebody first asked; see `sleep`. Thread-safe.

    Each executor that polls it has a timer for it, the process's deadline queue where none
    does. They are taken back when nobody is interested any more.
    """

    __slots__ = ("_clock", "_deadline", "_queue", "_seconds", "_timers")

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._clock = self._queue = None  # as _untimed
        self._timers = []
        self._seconds = seconds  # None: for ever

    def poll(self, waker: Waker = NOOP) -> Poll[None]:
        """Start the clock at the first poll; see `OutcomeFuture.poll`."""
        if self._seconds is not None and not self._outcome:
            self._watch(self._seconds)
        return super().poll(waker)

    def __await__(self) -> Generator[Poll[Any], object, None]:
        return OutcomeFuture.__await__(self)  # it calls _subscribe, which starts the clock

    def cancel(self) -> bool:
        """Settle as cancelled and take the timers back; False where the time has come."""
        cancelled = super().cancel()
        if cancelled:
            self._unwatch()
        return cancelled

    def _expire(self) -> None:
        if self._settle(VALUE, None) and len(self._timers) > 1:
            self._unwatch()

    def _waiters_left(self) -> list[Wakeable]:
        return self._waiting()

    def _subscribe(self, waker: Wakeable) -> None:
        OutcomeFuture._subscribe(self, waker)
        if self._seconds is not None and not self._outcome:
            self._watch(self._seconds)

    def _unsubscribe(self, waker: Wakeable) -> None:
        super()._unsubscribe(waker)
        if self._timers and not self._outcome and not self._waiting():
            self._unwatch()
            if self._seconds is not None and self._waiting():  # somebody came before that
                self._watch(self._seconds)

    def __repr__(self) -> str:
        return f"<sleep {self._seconds}s>"


def sleep(seconds: float) -> SleepFuture:
    """Return a future that is ready *seconds* after its first poll, on that executor's clock.

    0 waits for one turn of the loop at least; ``math.inf`` sleeps until cancelled.

    Raises:
        ValueError: *seconds* is negative or NaN.
    """
    return SleepFuture(check_timeout("seconds", seconds))


@coroutine
def yield_now() -> Generator[None, object, None]:
    """Let every other ready task have its turn first."""
    yield  # a bare yield: see the loop
