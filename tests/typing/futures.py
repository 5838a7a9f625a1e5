"""Values of futures keep their types: `await`, combinators, tasks, foreign work."""

# mypy: disable-error-code="unused-awaitable"
# A checker looks at these futures; nothing ever runs them.

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any, assert_type

from runtime import Executor, Future, Promise, Runtime, Worker, WorkerFuture, block_on, sleep
from runtime.async_runtime import TaskGroup, promise_from_callback
from runtime.interop.foreign import from_asyncio, from_concurrent, from_trio

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.promise import PromiseFuture
    from runtime.interop.guest import Guest


async def fetch(name: str, size: int = 0) -> bytes:
    """Do as if."""
    await sleep(0)
    return name.encode() * size


async def awaiting(future: Future[int], job: WorkerFuture[str], task: DrivenTask[float]) -> None:
    """An await gives the value."""
    assert_type(await future, int)
    assert_type(await job, str)
    assert_type(await task, float)
    assert_type(await sleep(1), None)
    assert_type(await Worker.spawn(lambda: 1.5), float)
    assert_type(await Future.all([job, job]), list[str])
    assert_type(await Future.race([future, future]), int)
    assert_type(await Future.timeout(job, 1.0), str)
    assert_type(await future.and_then(job), tuple[int, str])
    assert_type(await Future.all([fetch("a"), fetch("b")]), list[bytes])


def to_length(text: str) -> int:
    """Give a plain value."""
    return len(text)


def to_job(text: str) -> WorkerFuture[bytes]:
    """Give a future."""
    return Worker.spawn(text.encode)


def excuse(_error: Exception) -> str:
    """Give a plain value of the same type."""
    return ""


def to_none(_error: Exception) -> None:
    """Give a plain value of another type."""


def retry(error: Exception) -> WorkerFuture[str]:
    """Give a future."""
    return Worker.spawn(str, args=(error,))


async def combining(job: WorkerFuture[str]) -> None:
    """A chain knows what it ends with."""
    assert_type(job.map(to_length), Future[int])
    assert_type(job.flat_map(to_job), Future[bytes])
    assert_type(job.then(to_length), Future[int])
    assert_type(job.then(to_job), Future[bytes])
    assert_type(job.then(fetch), Future[bytes])
    assert_type(await job.catch(excuse), str)
    assert_type(await job.catch(to_none), str | None)
    assert_type(await job.catch(retry), str)
    assert_type(job.map(to_length).then(str), Future[str])
    assert_type(Future.ready(5), Future[int])


async def driving(executor: Executor, guest: Guest) -> None:
    """Whoever drives, the value is the same."""
    assert_type(executor.run_until_complete(fetch("a")), bytes)
    assert_type(block_on(Worker.spawn(to_length, args=("a",))), int)
    assert_type(Runtime.get().block_on(fetch("a")), bytes)
    assert_type((await executor.spawn(fetch("a"))), bytes)
    assert_type(await guest.spawn(fetch("a")), bytes)
    async with TaskGroup() as group:
        child = group.spawn(fetch("a"))
        assert_type(child.result(), bytes)


async def promising() -> None:
    """Both sides are of one type."""
    promise: Promise[int] = Promise()
    assert_type(promise.future(), "PromiseFuture[int]")
    promise.resolve("five")  # type: ignore[arg-type]
    called: PromiseFuture[str] = promise_from_callback(lambda done: done("value"))
    assert_type(await called, str)


async def foreign(loop: asyncio.AbstractEventLoop) -> None:
    """Work of other loops, here; and futures of ours, there."""
    assert_type(await from_asyncio(asyncio.sleep(1, "value")), str)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert_type(await from_concurrent(pool.submit(to_length, "a")), int)
    assert_type(await from_trio(fetch, "a"), bytes)
    assert_type(await from_trio(fetch, "a", 3), bytes)
    assert_type(await asyncio.wait_for(Worker.spawn(to_length, args=("a",)), 1), int)
    gathered = await asyncio.gather(
        Worker.spawn(to_length, args=("a",)).to_asyncio(), Worker.spawn(lambda: b"").to_asyncio()
    )
    assert_type(gathered, tuple[int, bytes])
    converted: asyncio.Future[Any] = Worker.spawn(to_length, args=("a",)).to_asyncio(loop)
    converted.cancel()
