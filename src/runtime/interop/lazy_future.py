"""A `concurrent.futures.Future` that pays for its condition only where somebody needs one.

The standard class makes a condition and two lists for each future, and takes its lock to settle and
to read: four fifths of what a ``submit`` costs. Most futures are settled, then read once. Here the
three are made when somebody asks: ``wait``, ``as_completed``, a callback. They ask through
``_condition`` first, always, since the standard class was written so.

Who settles and who asks first is decided by one atomic operation, `dict.setdefault` on "_made":
either the future has a crowd, and is settled under its lock, or it is marked as settled, and then
nobody ever waits. Invariant: with a crowd, state and news change together, under the lock.
Threads: any. Source: interop-spec.md, section 2.2; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import Any, Final, TypeVar, cast

__all__ = ("CANCELLED_AND_NOTIFIED", "FINISHED", "PENDING", "LazyFuture")

T = TypeVar("T")


class _Crowd:
    """Those who wait for one future, or have a callback there."""

    __slots__ = ("callbacks", "called", "condition", "told", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []  # Any: a private class of the standard module
        self.callbacks: list[Any] = []  # Any: as above
        self.told = False  # protected by condition, as is the next
        self.called = False  # whether somebody is at the callbacks, or has been


_SETTLED: Final = _Crowd()  # of all futures that were settled before anybody asked


class LazyFuture(concurrent.futures.Future[T]):
    """See the module. The fields are those of the standard class, whose ``__init__`` is not run."""

    _state: str = PENDING
    _result: Any = None  # Any: a T
    _exception: BaseException | None = None
    _final: str = PENDING  # the state, from the moment on at which it is decided

    def __init__(self) -> None:
        """Nothing: see the class."""

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # made when asked for
        return self._crowd().condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]  # as above
        return self._crowd().waiters

    @property
    def _done_callbacks(self) -> list[Any]:
        return self._crowd().callbacks

    def _crowd(self) -> _Crowd:
        fields = self.__dict__
        crowd = fields.get("_made")
        if crowd is None:
            crowd = fields.setdefault("_made", _Crowd())
        if crowd is not _SETTLED:
            return cast("_Crowd", crowd)
        self._state = self._final  # whoever settles it may be about to
        return cast("_Crowd", fields.setdefault("_late", _Crowd()))

    def _settle(
        self,
        final: str,
        result: Any,  # noqa: ANN401 - a T
        error: BaseException | None,
        *,
        calls: bool = True,
    ) -> bool:
        """Have this outcome. Two threads may settle with the same one: that is done once.

        Without *calls* the callbacks are left to whoever comes with it; False where that is due.
        """
        fields = self.__dict__
        if "_made" not in fields:
            self._result, self._exception, self._final = result, error, final
        crowd: _Crowd = fields.setdefault("_made", _SETTLED)
        if crowd is _SETTLED:
            self._state = final
            return True
        with crowd.condition:
            if not crowd.told:
                crowd.told = True
                self._result, self._exception, self._final = result, error, final
                self._state = final
                for waiter in crowd.waiters:
                    self._tell(waiter)
                crowd.condition.notify_all()
            if not calls or crowd.called:
                return crowd.called
            crowd.called = True
        self._invoke_callbacks()  # type: ignore[attr-defined]  # the stubs leave it out
        return True

    def _tell(self, waiter: Any) -> None:  # noqa: ANN401 - see _Crowd.waiters
        if self._state == CANCELLED_AND_NOTIFIED:
            waiter.add_cancelled(self)
        elif self._exception is not None:
            waiter.add_exception(self)
        else:
            waiter.add_result(self)

    def done(self) -> bool:
        """Tell whether there is an outcome."""
        return self._state != PENDING

    def cancelled(self) -> bool:
        """Tell whether the outcome is a cancellation."""
        return self._state == CANCELLED_AND_NOTIFIED
