"""Work on other people's loops, as futures of ours: asyncio, trio, `concurrent.futures`.

Cancelling goes both ways; context variables go there. asyncio and trio are imported
by whoever asks for them.
Threads: any. The work runs in a lent thread, or on the loop that was given.
Source: interop-spec.md, section 5; ADR-012.
"""

from __future__ import annotations

import contextvars
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

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
    """
    ours: ForeignFuture[T] = ForeignFuture(
        name_of(future), caller(), cancel_on_abandon=cancel_on_abandon
    )
    ours.begun(future.cancel)
    future.add_done_callback(lambda done: _follow(ours, done))
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
    """
    import asyncio  # noqa: PLC0415 - for those who ask for it

    if not hasattr(work, "__await__"):
        raise TypeError(f"from_asyncio() needs a coroutine or another awaitable, got {work!r}")
    ours: ForeignFuture[T] = ForeignFuture(
        name_of(work), caller(), cancel_on_abandon=cancel_on_abandon
    )
    if isinstance(work, asyncio.Future):
        home = work.get_loop()
        theirs: asyncio.Future[T] = work
        ours.begun(lambda: _tell(home.call_soon_threadsafe, theirs.cancel))
        home.call_soon_threadsafe(
            lambda: theirs.add_done_callback(lambda done: _follow(ours, done))
        )
        return ours
    coroutine = _contained(work)
    context = contextvars.copy_context()

    def begin(ended: Callable[[], object]) -> None:  # in the loop's thread
        running = asyncio.get_running_loop()

        def over(done: asyncio.Task[T | _Failed]) -> None:
            _dispose(work)  # it has not begun where the task was cancelled that early
            _follow(ours, done)
            ended()

        task = running.create_task(coroutine, name=ours._who, context=context)
        ours.begun(lambda: _tell(running.call_soon_threadsafe, task.cancel))
        task.add_done_callback(over)

    try:
        _start(lent_asyncio() if loop is None else loop, begin)
    except BaseException:
        coroutine.close()
        _dispose(work)
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
    from runtime.interop.trio_work import begin_work  # noqa: PLC0415 - imports trio

    if not callable(function):
        raise TypeError(f"from_trio() needs an async function, got {function!r}")
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
    loop: asyncio.AbstractEventLoop | LentLoop, begin: Callable[[Callable[[], object]], object]
) -> None:
    """Have *loop* begin; where it is lent, until the work is over."""
    if isinstance(loop, LentLoop):
        loop.take()
        loop.post(lambda: begin(loop.give_back))
    else:
        loop.call_soon_threadsafe(lambda: begin(int))


def _tell(call: Callable[[Callable[[], object]], object], what: Callable[[], object]) -> None:
    try:
        call(what)
    except RuntimeError:  # that loop is closed, and so is the work
        return


class _Failed:
    """What failed with an interrupt: it must not leave the loop, where others work."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _contained(work: Awaitable[T]) -> T | _Failed:
    try:
        return await work
    except (KeyboardInterrupt, SystemExit) as error:
        return _Failed(error)


def _dispose(work: Awaitable[Any]) -> None:  # Any: of any type
    """Close what will not run any more, so that nobody is warned about it."""
    close = getattr(work, "close", None)
    if close is not None:
        close()


def _follow(
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
