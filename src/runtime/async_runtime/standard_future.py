"""A `concurrent.futures.Future` that has the outcome of a future of ours.

It is its own waker: the source keeps it among those who wait, and whoever settles the source
settles it, on the same thread; callbacks may go to another one. Loaded where somebody asks for
one, with the standard library's module.
Threads: any. Uses five fields of the standard class that its own functions (``wait``,
``as_completed``) use from outside, and that have been the same since 3.2: ``_condition``,
``_state``, ``_waiters``, ``_done_callbacks``, ``_invoke_callbacks``.
Source: interop-spec.md, section 1; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures._base import (
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
)
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from runtime.async_runtime.callback_thread import must_hand_over, submit
from runtime.async_runtime.outcome import CANCELLED as OUTCOME_CANCELLED
from runtime.async_runtime.outcome import VALUE, OutcomeFuture

if TYPE_CHECKING:
    from runtime.async_runtime.conversions import Convertible

__all__ = ("StandardFuture", "follow")

T = TypeVar("T")

_OVER: Final = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})


class StandardFuture(concurrent.futures.Future[T]):
    """See the module. Made by `follow`."""

    wakes_last = True  # see `waiters.calls_functions`
    # None once this is settled: then nothing of the source is kept alive. Set before the source
    # knows of this.
    _source: OutcomeFuture[T] | None = None

    def wake(self) -> None:
        """The source has its outcome: have the same. Doing so twice changes nothing."""
        source = self._source
        if source is None:
            return
        outcome = source._outcome
        # By hand, or by `cancel`, it may have one already: the first one stands.
        with suppress(concurrent.futures.InvalidStateError):
            if outcome == VALUE:
                self.set_result(source._value)
            elif outcome == OUTCOME_CANCELLED:
                self._be_cancelled()
            else:
                self.set_exception(self._error_of(source))
        self._source = None

    def cancel(self) -> bool:
        """Stop waiting for the source; False where there is an outcome already."""
        source = self._source
        if not self._be_cancelled():
            return self.cancelled()
        self._source = None
        if source is not None:
            source._unsubscribe(self)
            source._abandoned()
        return True

    def result(self, timeout: float | None = None) -> T:
        """As of the standard class, but older versions of that lose an error that is not true."""
        error = self.exception(timeout)
        if error is None:
            return cast("T", self._result)
        try:
            raise error
        finally:
            del self, error  # the error's traceback keeps this frame, which would keep the error

    def _be_cancelled(self) -> bool:
        """Be cancelled, and tell everybody, in one step; False where it was over.

        The standard class does it in two, and between them ``wait`` does not see it: a callback
        that waits there would wait for ever.
        """
        with self._condition:
            if self._state in _OVER:
                return False
            self._state = CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(cast("Any", self))  # Any: of whatever type
            self._condition.notify_all()
        self._invoke_callbacks()
        return True

    def _invoke_callbacks(self) -> None:
        """As of the standard class, which calls this last, in all its versions.

        On a thread that has no time for callbacks (it watches all limits, or reads for all
        processes) they go to another one, but for asyncio's: these only tell its loop.
        """
        call = super()._invoke_callbacks  # type: ignore[misc]  # the stubs leave it out
        callbacks = self._done_callbacks  # type: ignore[attr-defined]  # as above
        if must_hand_over() and any(
            getattr(one, "__module__", None) != "asyncio.futures" for one in callbacks
        ):
            submit(call)
        else:
            call()

    def _error_of(self, source: OutcomeFuture[T]) -> BaseException:
        """Return what to fail with: a copy of one's own, for others may read the source too."""
        return source._failure().view()


def follow(source: Convertible[T]) -> StandardFuture[T]:
    """Return a new future with the outcome of *source*."""
    future: StandardFuture[T] = StandardFuture()
    future._source = own = cast("OutcomeFuture[T]", source)
    own._subscribe(future)
    return future
