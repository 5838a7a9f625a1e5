"""A future of ours as one of asyncio's, or of `concurrent.futures`'.

For code that looks at the type: ``asyncio.wait``, ``gather`` with futures, ``wrap_future``,
``concurrent.futures.wait``. Where an ``await`` will do, the future itself serves.
The modules are loaded by whoever asks; ``import runtime`` loads neither.
Source: interop-spec.md, section 1; ADR-011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from runtime.async_runtime.future import Future

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

__all__ = ("Convertible",)

T = TypeVar("T")


class Convertible(Future[T]):
    """The half of `OutcomeFuture` that shows its outcome elsewhere."""

    __slots__ = ()

    def to_concurrent(self) -> concurrent.futures.Future[T]:
        """Return a `concurrent.futures.Future` with the same outcome; one more at each call.

        Cancelling it always succeeds while it is open: then nobody waits there any more, which
        cancels a worker's job where nobody else does (``cancel_on_abandon``). Where the job is
        cancelled, so is the future.
        """
        from runtime.async_runtime.standard_future import follow  # noqa: PLC0415 - see the module

        return follow(self)

    def to_asyncio(self, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[T]:
        """Return an `asyncio.Future` of *loop* with the same outcome; one more at each call.

        Cancelling it, or the task that awaits it, means that nobody waits there any more; a
        worker's job is cancelled by that as by `to_concurrent`, and the other way round.

        Args:
            loop: Whose future; None for the loop that runs on this thread.

        Raises:
            RuntimeError: no loop was given, and none runs here.
        """
        from runtime.async_runtime.asyncio_future import follow  # noqa: PLC0415 - see the module

        return follow(self, loop)
