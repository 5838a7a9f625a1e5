"""The write side (`Promise`) and the read side (`PromiseFuture`) of one outcome.

Threads: any; a worker settles while an executor polls. No lock: see `outcome`, and
`PromiseFuture._settle` for how one of many settlers is chosen.
Invariant: settled once; the first one stands; everybody who waits is woken.
Source: async-runtime-spec.md, section 3; ADR-003.
"""

from __future__ import annotations

from sys import modules
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.foreign import await_elsewhere, is_refusal
from runtime.async_runtime.foreign_waits import trio_checkpoint
from runtime.async_runtime.outcome import (
    CANCELLED,
    ERROR,
    OPEN,
    VALUE,
    OutcomeFuture,
)
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.running import FREE_THREADED, full_fence, running
from runtime.async_runtime.staying import stays_here
from runtime.async_runtime.waiters import log_wake_error
from runtime.errors import BrokenPromiseError, CancellationError, InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from runtime.async_runtime.waiters import Wakeable

__all__ = (
    "Promise",
    "PromiseFuture",
    "promise_from_callback",
    "promise_from_error_callback",
)

T = TypeVar("T")

_CLAIM: Final = object()  # the first element of _waiters until somebody settles


class PromiseFuture(OutcomeFuture[T]):
    """The read side of a `Promise`. Thread-safe.

    `poll`, ``await``, `result`, `exception`, `add_done_callback`, `done` and `cancel` work from
    any thread, in any number, in any order.
    """

    __slots__ = ()

    # Never None here: it holds the claim, so it is there from the start.
    _waiters: list[Any]  # type: ignore[mutable-override]  # Any: wakers, and _CLAIM

    def __init__(self) -> None:
        self._outcome = OPEN
        self._crowd = None
        self._waiters = [_CLAIM]

    def cancel(self) -> bool:
        """Settle as cancelled; False where it was settled before.

        Readers get `CancellationError`. Whoever holds the promise sees `Promise.is_completed`.
        """
        if self._outcome:
            return False
        return self._settle(CANCELLED, Failure(CancellationError("the future was cancelled")))

    def _settle(self, outcome: int, value: object) -> bool:  # noqa: C901 - a hot path
        """Settle where nobody did before; whoever pops the claim is the one who may.

        ``list.pop`` is atomic, with and without the GIL, and takes no lock that an
        interrupted caller (a signal handler, a finalizer) could find held.
        """
        waiters = self._waiters
        try:
            first = waiters.pop(0)
        except IndexError:
            return False
        if first is not _CLAIM:
            self._put_back(first)
            return False
        self._value = value
        self._outcome = outcome
        if FREE_THREADED:
            full_fence()
        if waiters or self._crowd:  # some of the first ones may have gone, and the crowd stayed
            if len(waiters) == 1 and self._crowd is None:  # as _wake_all, for the usual one
                try:
                    waker = waiters.pop()
                except IndexError:  # it came between and helped itself
                    return True
                try:
                    waker.wake()
                except Exception:  # noqa: BLE001 - reported
                    log_wake_error(waker)
            if waiters or self._crowd:
                self._wake_all()
        return True

    def _put_back(self, waker: Wakeable) -> None:
        """Return a waiter that a late settler took for the claim.

        The first settler may be between taking the claim and storing the outcome: it has not
        woken this waiter, and a wake from here would come too early to show the outcome.
        """
        self._waiters.insert(0, waker)
        if FREE_THREADED:
            full_fence()
        if self._outcome:  # it may have gone through the list while the waiter was out of it
            self._wake_all()

    def _waiting(self) -> list[Wakeable]:
        return [waker for waker in super()._waiting() if waker is not _CLAIM]

    # The same as in the base class, with the one list that is always there.
    def __await__(self) -> Generator[Poll[Any], object, T]:  # noqa: C901 - a hot path
        task: Any = None  # Any: as in the base class
        if not self._outcome:
            executor = running.executor
            if executor is None:
                return (yield from await_elsewhere(self))
            task = executor._current
            waiters = self._waiters
            if len(waiters) > 1:
                self._subscribe(task)
            else:
                waiters.append(task)
                if FREE_THREADED:
                    full_fence()
                if self._outcome:
                    self._wake_all()
            try:
                while not self._outcome:
                    yield PENDING
            except BaseException as error:
                self._unsubscribe(task)
                task = None
                if not is_refusal(error):
                    self._abandoned()
                    raise
        elif "trio" in modules and running.executor is None:
            yield from trio_checkpoint()  # wants a turn at each await
        if self._outcome == VALUE:
            value: T = self._value  # not cast(): as in the base class
            return value
        task = None
        if not self._outcome:  # as in the base class
            return (yield from await_elsewhere(self))
        raise self._failure().view()


class Promise(Generic[T]):
    """The write side: whoever holds it settles the future, once, from any thread.

    Dropped without being settled, it fails the future with `BrokenPromiseError`:
    those who wait are told, they do not wait for ever.
    """

    __slots__ = ("__weakref__", "_future")

    __reduce__ = stays_here

    def __init__(self) -> None:
        self._future: PromiseFuture[T] = PromiseFuture()

    def future(self) -> PromiseFuture[T]:
        """Return the read side: the same object each time."""
        return self._future

    def resolve(self, value: T) -> None:
        """Settle with *value*.

        Raises:
            InvalidStateError: the future is settled; `try_resolve` says so instead.
        """
        if not self._future._settle(VALUE, value):
            raise self._settled()

    def reject(self, error: BaseException) -> None:
        """Settle with *error*: every reader gets a fresh copy of it.

        Raises:
            InvalidStateError: the future is settled; `try_reject` says so instead.
            TypeError: *error* is no exception object.
        """
        if not self.try_reject(error):
            raise self._settled()

    def try_resolve(self, value: T) -> bool:
        """Settle with *value*; False where another outcome came first and stands."""
        return self._future._settle(VALUE, value)

    def try_reject(self, error: BaseException) -> bool:
        """Settle with *error*; False where another outcome came first and stands.

        Raises:
            TypeError: *error* is no exception object; the promise stays open.
        """
        if not isinstance(cast("object", error), BaseException):  # cast: callers without types
            raise TypeError(
                f"a promise is rejected with an exception object, got {error!r}: "
                "pass an instance, for instance ValueError('...')"
            )
        return self._future._settle(ERROR, Failure(error, error.__traceback__))

    def cancel(self) -> bool:
        """Settle as cancelled; False where another outcome came first and stands."""
        return self._future.cancel()

    def is_completed(self) -> bool:
        """Tell whether the future is settled, in whichever way."""
        return self._future.done()

    @staticmethod
    def resolved(value: T) -> Promise[T]:
        """Return a promise that is settled with *value*."""
        promise: Promise[T] = Promise()
        promise.resolve(value)
        return promise

    @staticmethod
    def rejected(error: BaseException) -> Promise[Any]:
        """Return a promise that is settled with *error*; it fits where any type is asked."""
        promise: Promise[Any] = Promise()
        promise.reject(error)
        return promise

    def _settled(self) -> InvalidStateError:
        return InvalidStateError(
            f"cannot settle {self._future!r} twice: the first outcome stands; "
            "use try_resolve() or try_reject() where a race is expected"
        )

    def __del__(self) -> None:
        future = self._future
        if not future._outcome:
            future._settle(
                ERROR,
                Failure(
                    BrokenPromiseError(
                        "the promise of this future was dropped without being settled: "
                        "keep the Promise until resolve(), reject() or cancel()"
                    )
                ),
            )

    def __repr__(self) -> str:
        return f"<Promise of {self._future!r}>"


def promise_from_callback(func: Callable[[Callable[[T], object]], object]) -> PromiseFuture[T]:
    """Call ``func(done)`` now; the future is ready when ``done(value)`` is called.

    A second call of ``done`` is dropped. What *func* raises fails the future.
    """
    promise: Promise[T] = Promise()
    return _start(promise, lambda: func(promise.try_resolve))


def promise_from_error_callback(
    func: Callable[[Callable[[T], object], Callable[[BaseException], object]], object],
) -> PromiseFuture[T]:
    """Call ``func(done, failed)`` now; whichever is called first settles the future.

    Later calls are dropped. What *func* raises fails the future.
    """
    promise: Promise[T] = Promise()
    return _start(promise, lambda: func(promise.try_resolve, promise.try_reject))


def _start(promise: Promise[T], call: Callable[[], object]) -> PromiseFuture[T]:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the future's readers get it
        promise.try_reject(error)
    return promise.future()
