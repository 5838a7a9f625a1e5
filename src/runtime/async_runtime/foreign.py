"""Await a future of ours inside of somebody else's loop: asyncio (uvloop too), trio.

Nobody is imported for this: a loop that runs has been imported by whoever runs it. The task of that
loop waits as it does for futures of its own (or is parked, in trio), and our waker, from whichever
thread, tells that loop thread-safely (`runtime.async_runtime.foreign_waits`). Cancelling the
awaiting task, by the rules of its loop, drops our interest; a worker's future then cancels its job
(``cancel_on_abandon``).
Loops may lie inside of each other, in any order: the innermost one waits (`is_refusal`).
Source: async-runtime-spec.md, section 9.3; ADR-001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.foreign_waits import foreign_wait
from runtime.async_runtime.poll import PENDING, checked
from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Generator

    from runtime.async_runtime.future import Future

__all__ = ("await_elsewhere", "is_refusal")

T = TypeVar("T")


def await_elsewhere(
    future: Future[T],
) -> Generator[Any, Any, T]:  # Any: what that loop's tasks yield
    """Wait for *future* in the task of whichever loop runs on this thread.

    Raises:
        InvalidStateError: none does.
        BaseException: what *future* fails with, or that loop's own kind of cancellation.
    """
    waker = foreign_wait()
    if waker is None:
        raise _outside_executor(future)
    try:
        yield from waker.begin()  # before the poll, which may take a value out of somewhere
        try:
            polled = checked(future.poll(waker), future)
        except Exception:
            yield from waker.pass_by()
            raise
        if polled.is_ready():
            yield from waker.pass_by()
        while polled.is_pending():
            yield from waker.wait()
            waker.reset()
            polled = checked(future.poll(waker), future)
    except BaseException:  # cancelled there; an outcome of the future's own changes nothing
        future._forget(waker)
        future._abandoned()
        raise
    return cast("T", polled.value)


def is_refusal(error: BaseException) -> bool:
    """Tell whether *error* is another loop's answer to our "pending".

    Where such a loop runs inside of a task of ours, an ``await`` in there sees our executor on
    the thread and takes it for the one that drives. Nothing cheap tells the two apart, so it
    is the other loop that does: asyncio raises RuntimeError at the ``await``, trio TypeError,
    and both say what they got. Our own executor never does.
    """
    if type(error) not in (RuntimeError, TypeError) or repr(PENDING) not in str(error):
        return False
    return foreign_wait() is not None


def _outside_executor(future: object) -> InvalidStateError:
    """Return the error for an ``await`` that no loop is driving."""
    return InvalidStateError(
        f"cannot await {future!r} here: no runtime executor drives this coroutine, nor does "
        "asyncio or trio; run it with Executor().run_until_complete(...) or block_on(...), "
        "or read the future with .result() from a plain thread"
    )
