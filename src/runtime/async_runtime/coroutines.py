"""Take a coroutine wherever a future is taken.

A coroutine needs an executor to drive it: `CoroutineFuture` spawns it on the executor that
polls it first, and is from then on that task.
Source: async-runtime-spec.md, section 6.
"""

from __future__ import annotations

from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.future import Future
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.running import running
from runtime.async_runtime.waker import NOOP, Waker
from runtime.errors import InvalidStateError, TaskCancelledError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.future import FutureLike, Pollable

__all__ = ("CoroutineFuture", "as_pollable", "is_coroutine")

T = TypeVar("T")

_CO_ITERABLE_COROUTINE = 0x100  # a generator made by @types.coroutine


def is_coroutine(value: object) -> bool:
    """Tell whether *value* is a coroutine object (an ``async def`` that was called)."""
    if type(value) is CoroutineType:
        return True
    if type(value) is GeneratorType:
        return bool(value.gi_code.co_flags & _CO_ITERABLE_COROUTINE)
    # Coroutines of compiled code (Cython) have the methods without the type.
    return hasattr(value, "send") and hasattr(value, "throw") and hasattr(value, "__await__")


def as_pollable(value: FutureLike[T]) -> Pollable[T]:
    """Return *value* where it has ``poll``, or a future that drives it where it is a coroutine.

    Raises:
        TypeError: it is neither.
    """
    if hasattr(value, "poll") and not isinstance(cast("object", value), type):
        return cast("Pollable[T]", value)  # casts: it has poll and is no class: all it needs
    if is_coroutine(value):
        return CoroutineFuture(cast("Coroutine[Any, Any, T]", value))
    raise TypeError(
        f"expected a future (an object with poll) or a coroutine, got {value!r} "
        f"({type(value).__name__}): wrap a plain value in Future.ready(...)"
    )


class CoroutineFuture(Future[T]):
    """A coroutine as a future: spawned by the first poll, which an executor must do."""

    __slots__ = ("_cancelled", "_coroutine", "_task")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = [coroutine]  # a cell: list.pop decides who starts or closes it
        self._task: DrivenTask[T] | None = None
        self._cancelled = False

    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        """Spawn the coroutine at the first poll; then look at its task."""
        task = self._task
        if task is None:
            if self._cancelled:
                raise TaskCancelledError(f"{self!r} was cancelled before it started")
            executor = running.executor
            if executor is None:
                raise InvalidStateError(
                    f"cannot poll {self!r} here: a coroutine needs a running Executor; "
                    "await it in one, or spawn it first and poll the handle"
                )
            try:
                coroutine = self._coroutine.pop()
            except IndexError:  # another thread spawns it just now: look again in a moment
                waker.wake()
                return PENDING
            task = self._task = executor.spawn(coroutine)
        if not task._outcome:
            return task.poll(waker)
        del waker  # an error's traceback keeps this frame: it must not keep the awaiting task
        return task.poll()

    def cancel(self) -> bool:
        """Ask the coroutine to stop; one that did not start never will."""
        if self._task is None:
            try:
                coroutine = self._coroutine.pop()
            except IndexError:
                pass
            else:
                self._cancelled = True
                coroutine.close()
        return self._cancelled if self._task is None else self._task.cancel()

    def _forget(self, waker: Waker) -> None:
        if self._task is not None:
            self._task._forget(waker)

    def __repr__(self) -> str:
        return f"<CoroutineFuture {[*self._coroutine, self._task][0]!r}>"
