"""An `asyncio.Future` that has the outcome of a future of ours.

Threads: made on the loop's thread; the source is settled on any, and tells the loop thread-safely.
Source: interop-spec.md, section 1; ADR-011.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from runtime.async_runtime.outcome import CANCELLED, VALUE

if TYPE_CHECKING:
    from runtime.async_runtime.conversions import Convertible
    from runtime.async_runtime.outcome import OutcomeFuture

__all__ = ("follow",)

T = TypeVar("T")


class _Link:
    """The waker between the two; it lives in the source until that has its outcome."""

    __slots__ = ("_future", "_loop", "_source")

    def __init__(
        self,
        source: OutcomeFuture[T],
        future: asyncio.Future[T],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._source: OutcomeFuture[T] = source
        self._future: asyncio.Future[T] = future
        self._loop = loop

    def wake(self) -> None:
        """Tell the loop. Thread-safe."""
        try:
            self._loop.call_soon_threadsafe(self.settle)
        except RuntimeError:  # the loop is closed: nobody waits there
            return

    def settle(self) -> None:
        """Have the outcome of the source. On the loop's thread."""
        source, future = self._source, self._future
        if future.done():
            return
        if source._outcome == VALUE:
            future.set_result(source._value)
        elif source._outcome == CANCELLED:
            future.cancel()
        else:
            error = source._failure().view()
            if isinstance(error, StopIteration):  # asyncio refuses it
                refused, error = error, RuntimeError("the awaited work raised StopIteration")
                error.__cause__ = refused
            future.set_exception(error)

    def let_go(self, future: asyncio.Future[T]) -> None:
        """The future is done: where it was cancelled, nobody waits for the source here."""
        if future.cancelled() and not self._source.done():
            self._source._unsubscribe(self)
            self._source._abandoned()


def follow(source: Convertible[T], loop: asyncio.AbstractEventLoop | None) -> asyncio.Future[T]:
    """Return a new future of *loop* with the outcome of *source*.

    Raises:
        RuntimeError: *loop* is None, and no loop runs on this thread.
    """
    if loop is None:
        loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    own = cast("OutcomeFuture[T]", source)
    link = _Link(own, future, loop)
    if own._outcome:  # also where the loop does not run yet
        link.settle()
        return future
    future.add_done_callback(link.let_go)
    own._subscribe(link)
    return future
