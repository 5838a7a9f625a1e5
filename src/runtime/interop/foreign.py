"""Work on other people's loops, as futures of ours: asyncio, trio, `concurrent.futures`.

Cancelling goes both ways; context variables go there. asyncio and trio are imported
by whoever asks for them.
Threads: any. The work runs in a lent thread, or on the loop that was given.
Source: interop-spec.md, section 5; ADR-012.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from runtime.interop.asyncio_work import FutureFollower, WorkPiece, dispose, follow
from runtime.interop.foreign_future import ForeignFuture, caller, name_of
from runtime.interop.lending import LentLoop, Stay

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    from collections.abc import Awaitable, Callable
    from typing import Unpack

__all__ = ("from_asyncio", "from_concurrent", "from_trio", "lent_asyncio", "lent_trio")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def from_concurrent(
    future: concurrent.futures.Future[T], *, cancel_on_abandon: bool = True
) -> ForeignFuture[T]:
    """Return a future of ours with the outcome of *future*.

    Cancelling it cancels *future*, where that can be; a call that runs already runs on, and its
    outcome is dropped. Where *future* is cancelled, readers get `CancellationError`.

    Args:
        future: Of any executor of the standard library's kind.
        cancel_on_abandon: Whether to cancel it when the last task that awaited this is cancelled.

    Raises:
        TypeError: *future* is no such future.
    """
    if not (hasattr(future, "add_done_callback") and hasattr(future, "exception")):
        raise TypeError(
            f"from_concurrent() needs a concurrent.futures.Future, got {future!r} "
            f"({type(future).__name__}): give it what submit() of an executor returned"
        )
    ours: ForeignFuture[T] = ForeignFuture(
        name_of(future), caller(), cancel_on_abandon=cancel_on_abandon
    )
    ours.begun(future.cancel)
    future.add_done_callback(lambda done: follow(ours, done))
    return ours


def from_asyncio(
    work: Awaitable[T],
    *,
    loop: asyncio.AbstractEventLoop | LentLoop | None = None,
    cancel_on_abandon: bool = True,
) -> ForeignFuture[T]:
    """Run *work* in a loop of asyncio and return a future of ours with its outcome.

    It sees the context variables of this call. Cancelling the future, or every task that
    awaits it, cancels the task of asyncio; where that is cancelled over there, readers get
    `CancellationError`.

    Args:
        work: A coroutine, or anything that asyncio can await; one of asyncio's own
            futures or tasks is waited for in its own loop.
        loop: Where to run it: a loop that runs, in any thread. None: in a lent thread.
        cancel_on_abandon: Whether to cancel it when the last task that awaited this is cancelled.

    Raises:
        TypeError: *work* cannot be awaited.
        WorkerStartError: no thread can be started.
        RuntimeError: *loop* is closed. Where it is closed later, before the work has ended, the
            future fails with `BrokenPromiseError` as soon as the work is discarded.
    """
    import asyncio  # noqa: PLC0415 - for those who ask for it

    if not hasattr(work, "__await__"):
        raise TypeError(f"from_asyncio() needs a coroutine or another awaitable, got {work!r}")
    ours: ForeignFuture[T] = ForeignFuture(
        name_of(work), caller(), cancel_on_abandon=cancel_on_abandon
    )
    piece: FutureFollower[T] | WorkPiece[T]
    if isinstance(work, asyncio.Future):
        piece = FutureFollower(ours, work)
        loop = work.get_loop()
    else:
        piece = WorkPiece(ours, work, contextvars.copy_context())
    try:
        _start(lent_asyncio() if loop is None else loop, piece)
    except BaseException:
        piece.drop()
        raise
    return ours


def from_trio(
    function: Callable[[Unpack[Ts]], Awaitable[T]],
    *args: *Ts,
    loop: LentLoop | None = None,
    cancel_on_abandon: bool = True,
) -> ForeignFuture[T]:
    """Run ``function(*args)`` under trio and return a future of ours with its outcome.

    As `from_asyncio`, with a cancel scope of trio around the work.

    Args:
        function: An async function, called under trio.
        args: For it.
        loop: A lent loop of trio's; None: the one that all share.
        cancel_on_abandon: Whether to cancel it when the last task that awaited this is cancelled.

    Raises:
        TypeError: *function* cannot be called.
        ImportError: there is no trio.
        WorkerStartError: no thread can be started.
    """
    given: object = function
    if not callable(given):
        dispose(given)
        raise TypeError(
            f"from_trio() needs an async function, got {function!r}: "
            "give it the function and its arguments, and trio will call it"
        )
    from runtime.interop.trio_work import begin_work  # noqa: PLC0415 - imports trio

    ours: ForeignFuture[T] = ForeignFuture(
        name_of(function), caller(), cancel_on_abandon=cancel_on_abandon
    )
    context = contextvars.copy_context()
    lent = lent_trio() if loop is None else loop
    lent.take()
    lent.post(lambda: begin_work(ours, function, args, context, lent.give_back))
    return ours


def lent_asyncio() -> LentLoop:
    """Return the loop of asyncio that `from_asyncio` uses: a ``with`` block keeps its thread."""
    return _ASYNCIO


def lent_trio() -> LentLoop:
    """Return the loop of trio that `from_trio` uses: a ``with`` block keeps its thread."""
    return _TRIO


def _start(
    loop: asyncio.AbstractEventLoop | LentLoop, piece: FutureFollower[Any] | WorkPiece[Any]
) -> None:
    """Have *loop* begin; where it is lent, until the work is over."""  # Any: of whatever type
    if isinstance(loop, LentLoop):
        loop.take()
        piece.ended = loop.give_back
        loop.post(piece.begin)
    else:
        loop.call_soon_threadsafe(piece.begin)


def _serve_asyncio(stay: Stay) -> None:
    import asyncio  # noqa: PLC0415 - for those who ask for it

    async def main() -> None:
        end = asyncio.Event()
        stay(asyncio.get_running_loop().call_soon_threadsafe, end.set)
        await end.wait()

    asyncio.run(main())


def _serve_trio(stay: Stay) -> None:
    from runtime.interop.trio_work import serve  # noqa: PLC0415 - imports trio

    serve(stay)


_ASYNCIO: Final = LentLoop("vela-asyncio", _serve_asyncio)
_TRIO: Final = LentLoop("vela-trio", _serve_trio)
