"""Await a future of ours inside of somebody else's loop: asyncio (uvloop too), trio.

Nobody is imported for this: a loop that runs has been imported by whoever runs it. The task of that
loop waits for one of its own futures (or is parked, in trio), and our waker, from
whichever thread, tells that loop thread-safely. Cancelling the awaiting task, by the rules of its
loop, drops our interest; a worker's future then cancels its job (``cancel_on_abandon``).
Loops may lie inside of each other, in any order: the innermost one waits (`is_refusal`).
Source: async-runtime-spec.md, section 9.3; ADR-001.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.poll import PENDING
from runtime.async_runtime.waker import Waker
from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from runtime.async_runtime.future import Future

__all__ = ("await_elsewhere", "is_refusal", "outside_executor")

T = TypeVar("T")


class _ForeignWaker(Waker):
    """Tells another loop, once. Where that loop is closed by then, nobody waits there."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__(self._call)
        self._tell = tell

    def _call(self) -> None:
        try:
            self._tell()
        except RuntimeError:  # the loop is closed (trio: RunFinishedError, a RuntimeError)
            return


def await_elsewhere(
    future: Future[T],
) -> Generator[Any, Any, T]:  # Any: what that loop's tasks yield
    """Wait for *future* in the task of whichever loop runs on this thread.

    Raises:
        InvalidStateError: none does.
        BaseException: what *future* fails with, or that loop's own kind of cancellation.
    """
    pause = _pause()
    if pause is None:
        raise outside_executor(future)
    while True:
        waker, wait = pause()
        polled = future.poll(waker)
        if polled.is_ready():
            return cast("T", polled.value)
        try:
            yield from wait
        except BaseException:  # cancelled there
            future._forget(waker)
            future._abandoned()
            raise


def is_refusal(error: BaseException) -> bool:
    """Tell whether *error* is another loop's answer to our "pending".

    Where such a loop runs inside of a task of ours, an ``await`` in there sees our executor on
    the thread and takes it for the one that drives. Nothing cheap tells the two apart, so it
    is the other loop that does: asyncio raises RuntimeError at the ``await``, trio TypeError,
    and both say what they got. Our own executor never does.
    """
    if type(error) not in (RuntimeError, TypeError) or repr(PENDING) not in str(error):
        return False
    return _pause() is not None


def _pause() -> Any:  # noqa: ANN401 - as both of these
    return _asyncio_pause() or _trio_pause()


def _asyncio_pause() -> Any:  # noqa: ANN401 - _Pause or None; the types belong to asyncio
    """Return what makes a waker and the wait for it, where asyncio runs a task here."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    if asyncio.current_task(loop) is None:
        return None

    def pause() -> tuple[Waker, Any]:  # Any: asyncio's own generator
        waiter = loop.create_future()

        def settle() -> None:
            if not waiter.done():
                waiter.set_result(None)

        return _ForeignWaker(lambda: loop.call_soon_threadsafe(settle)), waiter.__await__()

    return pause


def _trio_pause() -> Any:  # noqa: ANN401 - _Pause or None; the types belong to trio
    """Return what makes a waker and the wait for it, where trio runs a task here."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    lowlevel = trio.lowlevel
    try:
        task = lowlevel.current_task()
    except RuntimeError:
        return None
    token = lowlevel.current_trio_token()

    def pause() -> tuple[Waker, Any]:  # Any: trio's own generator
        parked: list[None] = []  # filled while the task is parked for this pause, and for no other

        def resume() -> None:  # in trio's thread, between two steps of its tasks
            if parked:
                parked.clear()
                lowlevel.reschedule(task)

        def abort(_raise_cancel: object) -> Any:  # noqa: ANN401 - trio.lowlevel.Abort
            parked.clear()
            return lowlevel.Abort.SUCCEEDED

        def wait() -> Generator[Any, Any, None]:  # Any: as above
            parked.append(None)
            yield from lowlevel.wait_task_rescheduled(abort).__await__()

        return _ForeignWaker(lambda: token.run_sync_soon(resume)), wait()

    return pause


def outside_executor(future: object) -> InvalidStateError:
    """Return the error for an ``await`` that no loop is driving."""
    return InvalidStateError(
        f"cannot await {future!r} here: no runtime executor drives this coroutine, nor does "
        "asyncio or trio; run it with Executor().run_until_complete(...) or block_on(...), "
        "or read the future with .result() from a plain thread"
    )
