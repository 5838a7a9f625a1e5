"""What a future is: anything with ``poll``. The base class adds the combinators.

A subclass needs nothing but `Future.poll`, and an object that has ``poll`` needs not
even the base class: `Executor.spawn`, ``Future.all`` and all others take it.
Source: async-runtime-spec.md, sections 1 and 5; ADR-001.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast, overload

from runtime.async_runtime.foreign import await_elsewhere, is_refusal
from runtime.async_runtime.poll import PENDING, Poll, checked
from runtime.async_runtime.running import running
from runtime.async_runtime.waker import NOOP, Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

__all__ = (
    "AllFuture",
    "AllSettledFuture",
    "AndFuture",
    "AnyFuture",
    "CatchFuture",
    "ErrorFuture",
    "FlatMapFuture",
    "Future",
    "FutureLike",
    "MapFuture",
    "OrFuture",
    "PendingFuture",
    "Pollable",
    "RaceFuture",
    "ReadyFuture",
    "Settled",
    "TimeoutFuture",
    "cancel_loser",
    "checked",
    "forget",
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


class Pollable(Protocol[T_co]):
    """The whole contract of a future."""

    def poll(self, waker: Waker, /) -> Poll[T_co]:
        """See `Future.poll`."""
        ...


class Future(ABC, Generic[T]):
    """A value that may not be there yet. Subclasses write `poll`, and nothing else.

    Every method that takes a future also takes a coroutine and any object with ``poll``.
    """

    __slots__ = ()

    @abstractmethod
    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        """Look once, without blocking.

        Args:
            waker: Keep it, and call its ``wake`` (from any thread) when another look is
                worth while. The default is for a single look that wakes nobody.

        Returns:
            ``Poll.ready(value)``, or ``Poll.pending()`` after keeping *waker*.

        Raises:
            BaseException: the future has failed with it.
        """

    def __await__(self) -> Generator[Poll[Any], object, T]:
        executor = running.executor
        if executor is None:
            return (yield from await_elsewhere(self))
        task = executor._current
        try:
            while True:
                polled = checked(self.poll(task), self)
                if polled.is_ready():
                    value: T = polled.value  # type: ignore[assignment]  # not cast(): a call
                    return value
                yield PENDING
        except BaseException as error:
            self._forget(task)
            del task, executor  # the traceback keeps this frame, and the task keeps the error
            if not is_refusal(error):
                self._abandoned()
                raise
        return (yield from await_elsewhere(self))

    def _forget(self, waker: Waker) -> None:
        """Hook: *waker* is not interested any more; drop it where it is kept."""

    def _abandoned(self) -> None:
        """Hook: a task that awaited this was cancelled meanwhile."""

    # ---- combinators ----------------------------------------------------------------------

    def map(self, func: Callable[[T], U]) -> Future[U]:
        """Return a future of ``func(value)``; an error passes. *func* is called once."""
        return MapFuture(self, func)

    def flat_map(self, func: Callable[[T], FutureLike[U]]) -> Future[U]:
        """Return a future of what the future ``func(value)`` gives. *func* is called once."""
        return FlatMapFuture(self, func)

    @overload
    def then(self, func: Callable[[T], FutureLike[U]]) -> Future[U]: ...

    @overload
    def then(self, func: Callable[[T], U]) -> Future[U]: ...

    def then(self, func: Callable[[T], Any]) -> Future[Any]:
        """Do `flat_map` where *func* gives a future, and `map` where it gives a plain value."""
        return FlatMapFuture(self, func, plain=True)

    @overload
    def catch(self, func: Callable[[Exception], FutureLike[U]]) -> Future[T | U]: ...

    @overload
    def catch(self, func: Callable[[Exception], U]) -> Future[T | U]: ...

    def catch(self, func: Callable[[Exception], Any]) -> Future[Any]:
        """Return a future that turns an error into ``func(error)``, a value or a future.

        Only an `Exception` is caught; `KeyboardInterrupt` and its kind pass.
        """
        return CatchFuture(self, func)

    def and_then(self, other: FutureLike[U]) -> Future[tuple[T, U]]:
        """Return a future of both values; both run side by side, the first error stands."""
        return cast("Future[tuple[T, U]]", AndFuture(self, other))  # cast: the pair is untyped

    def or_else(self, other: FutureLike[U]) -> Future[T | U]:
        """Return a future of whichever is ready first; the loser is left alone."""
        return OrFuture(self, other)

    # ---- makers ---------------------------------------------------------------------------

    @staticmethod
    def ready(value: U) -> Future[U]:
        """Return a future that is ready with *value*."""
        return ReadyFuture(value)

    @staticmethod
    def pending() -> Future[Any]:
        """Return a future that never is ready."""
        return PendingFuture()

    @staticmethod
    def from_result(value: U | BaseException) -> Future[U]:
        """Return a future that fails where *value* is an exception, or is ready with it."""
        return ErrorFuture(value) if isinstance(value, BaseException) else ReadyFuture(value)

    @staticmethod
    def all(futures: Sequence[FutureLike[U]]) -> Future[list[U]]:
        """Return a future of all values, in order; the first error surfaces at once.

        ``[]`` gives ``[]``. After an error the other futures are left alone, for they may belong
        to others; coroutines among them are cancelled, for they cannot.
        """
        return AllFuture(futures)

    @staticmethod
    def race(futures: Sequence[FutureLike[U]]) -> Future[U]:
        """Return a future of the first outcome, value or error; ``[]`` stays pending.

        Losers are left alone, as in `all`; coroutines among them are cancelled.
        """
        return RaceFuture(futures)

    @staticmethod
    def any(futures: Sequence[FutureLike[U]]) -> Future[U]:
        """Return a future of the first *value*; losers as in `race`.

        Polling it raises an `ExceptionGroup` with all errors in order where every future has
        failed, and `ValueError` where there was none.
        """
        return AnyFuture(futures)

    @staticmethod
    def all_settled(futures: Sequence[FutureLike[U]]) -> Future[list[Settled[U]]]:
        """Return a future of every outcome, in order; it fails with no future's error."""
        return AllSettledFuture(futures)

    @staticmethod
    def timeout(future: FutureLike[U], seconds: float) -> Future[U]:
        """Return a future that fails with `TimeoutError` when *future* takes too long.

        The span counts from the first poll. On expiry *future* is cancelled where it has
        ``cancel``: nobody waits for it any more.
        """
        return TimeoutFuture(future, seconds)


FutureLike: TypeAlias = "Pollable[T] | Coroutine[Any, Any, T]"


class ReadyFuture(Future[T]):
    """Ready from the start, at every poll."""

    __slots__ = ("_poll",)

    def __init__(self, value: T) -> None:
        self._poll = Poll.ready(value)

    def poll(self, waker: Waker = NOOP) -> Poll[T]:  # noqa: ARG002 - never kept
        """Return the value."""
        return self._poll


class PendingFuture(Future[Any]):
    """Never ready."""

    __slots__ = ()

    def poll(self, waker: Waker = NOOP) -> Poll[Any]:  # noqa: ARG002 - never woken
        """Return pending."""
        return PENDING


class ErrorFuture(Future[Any]):
    """Failed from the start; every poll raises a fresh copy of the error."""

    __slots__ = ("_failure",)

    def __init__(self, error: BaseException) -> None:
        from runtime.async_runtime.failure import Failure  # noqa: PLC0415 - used here only

        if not isinstance(error, BaseException):
            raise TypeError(f"ErrorFuture needs an exception object, got {error!r}: pass one")
        self._failure = Failure(error, error.__traceback__)

    def poll(self, waker: Waker = NOOP) -> Poll[Any]:  # noqa: ARG002 - never kept
        """Raise the error."""
        raise self._failure.view()


def forget(future: object, waker: Waker) -> None:
    """Tell *future* that *waker* is not interested any more, where it wants to know."""
    if isinstance(future, Future):
        future._forget(waker)


def cancel_loser(future: object) -> None:
    """Cancel *future* where it has ``cancel``; nobody waits for it any more."""
    cancel = getattr(future, "cancel", None)
    if cancel is not None:
        cast("Callable[[], object]", cancel)()


# At the end: these modules need the classes above, and `Future` needs them when called.
# The package's __init__ imports this module first, so the order is always the same.
from runtime.async_runtime.combinators import (  # noqa: E402
    CatchFuture,
    FlatMapFuture,
    MapFuture,
    TimeoutFuture,
)
from runtime.async_runtime.joins import (  # noqa: E402
    AllFuture,
    AllSettledFuture,
    AndFuture,
    AnyFuture,
    OrFuture,
    RaceFuture,
    Settled,
)
