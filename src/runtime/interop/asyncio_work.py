"""One piece of work in a loop of asyncio's, and the future of ours that has its outcome.

The loop alone keeps the piece: by the call that begins it, then by its task. A loop that is
closed discards both, and the finalizer tells those who wait.
Threads: made by any; all else runs in the loop's, and the finalizer in any.
Source: interop-spec.md, section 5; ADR-012.
"""

from __future__ import annotations

import sys
import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runtime.errors import BrokenPromiseError

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    import contextvars
    from collections.abc import Awaitable, Callable

    from runtime.interop.foreign_future import ForeignFuture

__all__ = ("FutureFollower", "WorkPiece", "dispose", "follow")

T = TypeVar("T")


class _Failed:
    """What failed with an interrupt: it must not leave the loop, where others work."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Followed(Generic[T]):
    """What is in the loop; whoever waits is told, also where the loop discards it."""

    def __init__(self, ours: ForeignFuture[T]) -> None:
        self._ours = ours
        self._is_over = False
        self.ended: Callable[[], object] = int  # called when the work is over

    def _over(self, done: asyncio.Future[Any]) -> None:  # Any: a T or a _Failed
        self._is_over = True
        follow(self._ours, done)

    def drop(self) -> None:
        """It will not begin, and the caller knows."""
        self._is_over = True
        self._discarded()

    def _discarded(self) -> None:
        """Hook: close what will not run any more."""

    def __del__(self) -> None:
        if self._is_over or sys.is_finalizing():
            return
        ours = self._ours
        try:
            if not ours.done():
                ours.settle_error(
                    BrokenPromiseError(
                        f"the loop of {ours._who} was closed, or has lost it, before it ended: "
                        "keep the loop running until the future is settled"
                    )
                )
        finally:
            self._discarded()


class WorkPiece(_Followed[T]):
    """A coroutine, or what else asyncio can await, as a task."""

    def __init__(
        self, ours: ForeignFuture[T], work: Awaitable[T], context: contextvars.Context
    ) -> None:
        super().__init__(ours)
        self._work = work
        self._context = context
        self._coroutine = _contained(work)

    def begin(self) -> None:
        """Start the task."""
        import asyncio  # noqa: PLC0415 - for those who have a loop of it

        running = asyncio.get_running_loop()
        task = running.create_task(self._coroutine, name=self._ours._who, context=self._context)
        # Weak: the future must not keep what its loop has discarded.
        self._ours.begun(_asking(running, task))
        task.add_done_callback(self._over)

    def _over(self, done: asyncio.Future[Any]) -> None:  # Any: as in the base class
        dispose(self._work)  # it has not begun where the task was cancelled that early
        super()._over(done)
        self.ended()

    def _discarded(self) -> None:
        self._coroutine.close()
        dispose(self._work)


class FutureFollower(_Followed[T]):
    """Waits for a future of asyncio's, in its own loop."""

    def __init__(self, ours: ForeignFuture[T], theirs: asyncio.Future[T]) -> None:
        super().__init__(ours)
        self._theirs: asyncio.Future[T] | None = theirs  # until its callback keeps this instead
        ours.begun(_asking(theirs.get_loop(), theirs))

    def begin(self) -> None:
        """Follow it, in its loop."""
        theirs, self._theirs = self._theirs, None
        if theirs is not None:
            theirs.add_done_callback(self._over)


async def _contained(work: Awaitable[T]) -> T | _Failed:
    try:
        return await work
    except (KeyboardInterrupt, SystemExit) as error:
        return _Failed(error)


def _asking(
    loop: asyncio.AbstractEventLoop,
    theirs: asyncio.Future[Any],  # Any: of whatever type
) -> Callable[[], None]:
    """Return what asks *theirs* to stop, from any thread, and does not keep it."""
    kept = weakref.ref(theirs)

    def ask() -> None:
        work = kept()
        if work is not None:
            try:
                loop.call_soon_threadsafe(work.cancel)
            except RuntimeError:  # that loop is closed, and so is the work
                return

    return ask


def dispose(work: object) -> None:
    """Close what will not run any more, so that nobody is warned about it."""
    close = getattr(work, "close", None)
    if close is not None:
        close()


def follow(
    ours: ForeignFuture[Any],  # Any: of any type
    theirs: asyncio.Future[Any] | concurrent.futures.Future[Any],  # Any: as above
) -> None:
    """Give *ours* the outcome of *theirs*, which is done."""
    if theirs.cancelled():
        ours.settle_cancelled()
        return
    try:
        error = theirs.exception()
    except CancelledError:  # an executor of somebody else's
        ours.settle_cancelled()
        return
    if error is not None:
        ours.settle_error(error)
        return
    value = theirs.result()
    if isinstance(value, _Failed):
        ours.settle_error(value.error)
    else:
        ours.settle_value(value)
