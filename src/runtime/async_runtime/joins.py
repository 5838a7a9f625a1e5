"""Futures over many futures: all, any, race, all_settled, and, or.

What each does with the outcome of a child; which child to look at is `joining`'s business.
Source: async-runtime-spec.md, section 5; ADR-003.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.joining import Join, Settled
from runtime.async_runtime.outcome import ERROR, VALUE

if TYPE_CHECKING:
    from runtime.async_runtime.future import FutureLike

__all__ = (
    "AllFuture",
    "AllSettledFuture",
    "AndFuture",
    "AnyFuture",
    "OrFuture",
    "RaceFuture",
    "Settled",
)

T = TypeVar("T")


class AllFuture(Join[T, "list[T]"]):
    """All values in order, or the first error; see `Future.all`."""

    __slots__ = ()

    def _on_empty(self) -> None:
        self._cell._settle(VALUE, [])

    def _on_value(self, index: int, value: object) -> None:
        self._values[index] = value
        if not self._open:
            self._settle(VALUE, self._result())

    def _result(self) -> object:
        return self._values

    def _on_error(self, index: int, failure: Failure) -> None:  # noqa: ARG002 - which
        self._settle(ERROR, failure)


class AndFuture(AllFuture[Any]):
    """Both values as a tuple, or the first error; see `Future.and_then`."""

    __slots__ = ()

    def __init__(self, first: FutureLike[Any], second: FutureLike[Any]) -> None:
        super().__init__((first, second))

    def _result(self) -> tuple[Any, ...]:
        return tuple(self._values)


class AllSettledFuture(Join[T, "list[Settled[T]]"]):
    """Every outcome in order; see `Future.all_settled`."""

    __slots__ = ()

    def _on_empty(self) -> None:
        self._cell._settle(VALUE, [])

    def _on_value(self, index: int, value: object) -> None:
        self._keep(index, Settled(cast("T", value), None))  # cast: the child's

    def _on_error(self, index: int, failure: Failure) -> None:
        self._keep(index, Settled(None, failure.view()))

    def _keep(self, index: int, settled: Settled[T]) -> None:
        self._values[index] = settled
        if not self._open:
            self._settle(VALUE, self._values)


class RaceFuture(Join[T, T]):
    """The first outcome, value or error; losers are left alone; see `Future.race`."""

    __slots__ = ()

    def _on_value(self, index: int, value: object) -> None:  # noqa: ARG002 - which
        self._settle(VALUE, value)

    def _on_error(self, index: int, failure: Failure) -> None:  # noqa: ARG002 - which
        self._settle(ERROR, failure)


class OrFuture(RaceFuture[Any]):
    """Whichever of two is there first; see `Future.or_else`."""

    __slots__ = ()

    def __init__(self, first: FutureLike[Any], second: FutureLike[Any]) -> None:
        super().__init__((first, second))


class AnyFuture(Join[T, T]):
    """The first value, or all the errors; see `Future.any`."""

    __slots__ = ()

    def _on_empty(self) -> None:
        error = ValueError("Future.any() of no futures has no first value: give at least one")
        self._cell._settle(ERROR, Failure(error))

    def _on_value(self, index: int, value: object) -> None:  # noqa: ARG002 - which
        self._settle(VALUE, value)

    def _on_error(self, index: int, failure: Failure) -> None:
        self._values[index] = failure.view()
        if not self._open:
            errors = self._values
            message = f"Future.any(): none of {len(errors)} futures gave a value"
            self._settle(ERROR, Failure(BaseExceptionGroup(message, errors)))
