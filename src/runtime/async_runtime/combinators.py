"""Futures over one future: map, flat_map, then, catch, timeout.

A chain of ``map``, ``flat_map``, ``then`` and ``catch`` of any length is polled in a loop, never
by recursion; each ``timeout`` in it takes a few frames. A function of the user's is called
once, also where two executors poll the same chain from two threads: whoever takes the function
out of its cell calls it, the other waits for the result.
Source: async-runtime-spec.md, section 5; ADR-003.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.abandoning import Combined
from runtime.async_runtime.coroutines import CoroutineFuture, as_pollable
from runtime.async_runtime.failure import Failure, caught
from runtime.async_runtime.future import Future, FutureLike, cancel_loser, checked, forget
from runtime.async_runtime.outcome import ERROR, VALUE
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.timed import Timed
from runtime.async_runtime.waiters import wake_each
from runtime.async_runtime.waker import NOOP, Waker
from runtime.clock import check_timeout
from runtime.errors import FutureTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.async_runtime.future import Pollable
    from runtime.async_runtime.waiters import Wakeable

__all__ = ("CatchFuture", "FlatMapFuture", "MapFuture", "TimeoutFuture")

T = TypeVar("T")
U = TypeVar("U")


class _Chain(Combined, Future[U]):
    """One link: a source, a function to call once, and a cell for the outcome."""

    __slots__ = ("_cell", "_func", "_source")

    _on_error = False  # whether the function wants the error rather than the value

    def __init__(self, source: FutureLike[Any], func: Callable[[Any], Any]) -> None:
        self._source: Pollable[Any] = as_pollable(source)
        self._func = [func]  # a cell: list.pop decides who calls it
        self._cell: PromiseFuture[U] = PromiseFuture()

    def poll(self, waker: Waker = NOOP) -> Poll[U]:
        """Poll the source; when it is there, call the function and give its result."""
        if not self._cell._outcome and not self._climb(waker):
            return PENDING
        del waker  # an error's traceback keeps this frame: it must not keep the task
        return self._cell.poll()

    def _climb(self, waker: Waker) -> bool:
        """Poll what lies at the bottom, then link after link above it; True with an outcome."""
        stack: list[_Chain[Any]] = [self]
        _leave_cell(self._cell, waker)
        while stack:
            link = stack[-1]
            if link._cell._outcome:
                del stack[-1]
                continue
            source = link._source
            if isinstance(source, _Chain) and not source._cell._outcome:
                _leave_cell(source._cell, waker)
                stack.append(source)
                continue
            if not link._advance(source, waker):
                if waker is not NOOP:
                    self._park(stack, source, waker)
                return False
        return True

    def _park(self, stack: list[_Chain[Any]], source: Pollable[Any], waker: Waker) -> None:
        """Keep *waker* in every link on the way: one may be cancelled, or settled elsewhere."""
        for link in stack:
            link._cell._subscribe(waker)
        if stack[-1]._source is not source:  # replaced by another thread: it has woken who was in
            waker.wake()
        if self._cell._outcome:  # cancelled by another thread, which has not seen this waker
            self._forget(waker)

    def _advance(self, source: Pollable[Any], waker: Waker) -> bool:
        """Poll *source*, which is no open chain; False where there is no way on for now."""
        try:
            polled = checked(source.poll(waker), source)
        except Exception as error:  # noqa: BLE001 - it is the outcome
            self._take(ERROR, caught(error))
        else:
            if polled.is_pending():
                return False
            self._take(VALUE, polled.value)
        # False: another thread is calling the function just now; wait for what it gives.
        return bool(self._cell._outcome or self._source is not source)

    def _take(self, outcome: int, value: Any) -> None:  # noqa: ANN401 - a value or a Failure
        """Use the outcome of the source."""
        try:
            func = self._func.pop()
        except IndexError:  # called already: this is the outcome of the second future
            if self._source_is_final():
                self._cell._settle(outcome, value)
            return
        if (outcome == ERROR) is not self._on_error:
            self._cell._settle(outcome, value)
            return
        try:
            self._follow(func(value.view() if self._on_error else value))
        except BaseException as error:  # noqa: BLE001 - it is the outcome: func ran and is gone
            self._cell._settle(ERROR, caught(error))

    def _follow(self, result: object) -> None:
        self._cell._settle(VALUE, result)

    def _source_is_final(self) -> bool:
        return False

    def cancel(self) -> bool:
        """Settle as cancelled; False where there is an outcome.

        The source is left alone, for it may belong to others; a coroutine cannot: it is cancelled.
        """
        cell, waiting = self._cell, self._cell._waiting()
        if not cell.cancel():
            return False
        self._func.clear()
        for waker in waiting:
            self._forget(cast("Waker", waker))  # cast: only wakers get in there
        if isinstance(self._source, CoroutineFuture):
            self._source.cancel()
        return True

    def _forget(self, waker: Waker) -> None:
        link: Any = self  # Any: a chain, and at its end whatever future the user gave
        while isinstance(link, _Chain):
            link._cell._unsubscribe(waker)
            link = link._source
        forget(link, waker)

    def _unawaited(self) -> Sequence[object]:
        link: Any = self  # Any: as in _forget
        while isinstance(link, _Chain):
            if link._cell._outcome or link._cell._waiting():
                return ()
            link = link._source
        return (link,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cell!r}>"


class MapFuture(_Chain[U]):
    """``func(value)``; see `Future.map`."""

    __slots__ = ()


class FlatMapFuture(_Chain[U]):
    """What the future ``func(value)`` gives; see `Future.flat_map` and, with *plain*, `then`."""

    __slots__ = ("_final", "_plain")

    def __init__(
        self, source: FutureLike[Any], func: Callable[[Any], Any], *, plain: bool = False
    ) -> None:
        super().__init__(source, func)
        self._plain = plain
        self._final = False  # True: _source is what func gave

    def _follow(self, result: object) -> None:
        if self._plain and not _is_future_like(result):
            self._cell._settle(VALUE, result)
            return
        self._source = as_pollable(cast("FutureLike[Any]", result))  # cast: checked there
        self._final = True
        wake_each(self._cell._waiting())  # other pollers wait for the function: now for this

    def _source_is_final(self) -> bool:
        return self._final


class CatchFuture(FlatMapFuture[U]):
    """``func(error)`` in place of an error; see `Future.catch`."""

    __slots__ = ()

    _on_error = True

    def __init__(self, source: FutureLike[Any], func: Callable[[Any], Any]) -> None:
        super().__init__(source, func, plain=True)


def _leave_cell(cell: PromiseFuture[Any], waker: Waker) -> None:
    """Drop *waker*, who polls: what the poll settles need not wake it."""
    if len(cell._waiters) > 1 or cell._crowd:  # mostly nobody is there: the first is the claim
        cell._unsubscribe(waker)


def _is_future_like(value: object) -> bool:
    return hasattr(value, "poll") or hasattr(value, "cr_await") or isinstance(value, Future)


class TimeoutFuture(Timed, Combined, Future[T]):
    """*future*, or `TimeoutError` after *seconds* from the first poll; see `Future.timeout`.

    Raises:
        ValueError: *seconds* is negative or NaN.
    """

    __slots__ = ("_cell", "_clock", "_deadline", "_future", "_queue", "_seconds", "_timers")

    def __init__(self, future: FutureLike[T], seconds: float) -> None:
        limit = check_timeout("seconds", seconds)
        self._seconds = math.inf if limit is None else limit
        self._future: Pollable[T] = as_pollable(future)
        self._cell: PromiseFuture[T] = PromiseFuture()
        self._untimed()

    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        """Poll the future; the first poll starts the clock."""
        cell = self._cell
        if not cell._outcome:
            self._look(waker)
            if not cell._outcome and waker is not NOOP:
                _leave_cell(cell, waker)
                cell._subscribe(waker)
                if cell._outcome:  # it expired meanwhile, and did not see this waker
                    forget(self._future, waker)
            if not cell._outcome:
                return PENDING
        del waker  # an error's traceback keeps this frame: it must not keep the task
        return cell.poll()

    def _look(self, waker: Waker) -> None:
        if self._seconds != math.inf:
            self._watch(self._seconds)
        try:
            polled = checked(self._future.poll(waker), self._future)
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            self._settle(ERROR, caught(error))
        else:
            if polled.is_ready():
                self._settle(VALUE, polled.value)

    def _settle(self, outcome: int, value: object) -> None:
        if self._cell._settle(outcome, value):
            self._unwatch()

    def _expire(self) -> None:
        error = FutureTimeoutError(f"waiting for {self._future!r}", self._seconds)
        waiting = self._cell._waiting()
        if self._cell._settle(ERROR, Failure(error)):
            self._leave(waiting)

    def cancel(self) -> bool:
        """Cancel the future that is waited for, where it can be; False where it is over."""
        waiting = self._cell._waiting()
        if not self._cell.cancel():
            return False
        self._leave(waiting)
        return True

    def _waiters_left(self) -> list[Wakeable]:
        return self._cell._waiting()

    def _leave(self, waiting: list[Wakeable]) -> None:
        """Drop the wakers that the future keeps for us: it may live long. Then cancel it."""
        self._unwatch()
        for waker in waiting:
            forget(self._future, cast("Waker", waker))  # cast: only wakers get in there
        cancel_loser(self._future)

    def _forget(self, waker: Waker) -> None:
        self._cell._unsubscribe(waker)
        forget(self._future, waker)

    def _unawaited(self) -> Sequence[object]:
        cell = self._cell
        if cell._outcome or cell._waiting():
            return ()
        self._unwatch()  # the deadline stays where it is: the next poll watches it again
        if cell._waiting():  # somebody came before that: wake him, and he polls
            wake_each(cell._waiting())
            return ()
        return (self._future,)

    def __repr__(self) -> str:
        return f"<TimeoutFuture {self._seconds}s {self._cell!r}>"
