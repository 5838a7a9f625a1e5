"""A6: the memory of a parked task."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.loops import TrioEvent, bare_yield, run_asyncio, run_ours, run_trio, trio
from benchmarks.model import Benchmark, Side, Unit, share
from runtime.async_runtime import Promise, sleep

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor, Poll, PromiseFuture, Waker

__all__ = ("BENCHMARKS",)

STATM = Path("/proc/self/statm")
A_TURN = 0.01  # seconds: the loop goes round at least once


def resident() -> int:
    """Return the bytes of memory that this process has in use, as the system counts them."""
    if STATM.exists():
        pages = STATM.read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    import resource  # noqa: PLC0415 - not on Windows, where this benchmark is absent

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # memory only grows here
    return peak if sys.platform == "darwin" else peak * 1024


class Growth:
    """How much the resident memory has grown since this was made."""

    def __init__(self) -> None:
        gc.collect()
        self.before = resident()

    def per(self, count: int) -> float:
        """Return the growth, divided by *count*."""
        gc.collect()
        return (resident() - self.before) / count


# Each in a process of its own. All sides keep a list of what they made, as a program would that
# wants to look at its tasks; the process ends without taking anything down.


def coroutines(size: int) -> float:
    """Tasks of ours that await one promise."""

    async def wait(future: PromiseFuture[None]) -> None:
        await future

    return _parked(size, wait)


class Frame:
    """A frame of a guest language that waits for a future: nothing but `poll`."""

    __slots__ = ("future",)

    def __init__(self, future: PromiseFuture[None]) -> None:
        self.future = future

    def poll(self, waker: Waker) -> Poll[None]:
        """Look at the future; *waker* is kept there."""
        return self.future.poll(waker)


def guests(size: int) -> float:
    """Tasks of ours that have nothing but `poll`."""
    return _parked(size, Frame)


def _parked(size: int, make: Callable[[PromiseFuture[None]], Any]) -> float:  # Any: FutureLike
    async def main(executor: Executor) -> float:
        promise: Promise[None] = Promise()
        growth = Growth()
        tasks = [executor.spawn(make(promise.future())) for _ in range(size)]
        await sleep(A_TURN)
        per_task = growth.per(size)
        promise.resolve(None)
        for task in tasks:
            await task
        return per_task

    return run_ours(main)


def with_asyncio(size: int) -> float:
    """Tasks of asyncio that await one future."""

    async def wait(future: asyncio.Future[None]) -> None:
        await future

    async def main() -> float:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        growth = Growth()
        tasks = [loop.create_task(wait(future)) for _ in range(size)]
        await asyncio.sleep(A_TURN)
        per_task = growth.per(size)
        future.set_result(None)
        for task in tasks:
            await task
        return per_task

    return run_asyncio(main)


def with_trio(size: int) -> float:
    """Tasks of trio that wait for one event; the nursery keeps them.

    A tenth of the others' number: with a million, trio takes most of a minute.
    """
    size = max(1, size // 10)

    async def wait(event: TrioEvent) -> None:
        await event.wait()

    async def main() -> float:
        event = trio().Event()
        growth = Growth()
        async with trio().open_nursery() as nursery:
            for _ in range(size):
                nursery.start_soon(wait, event)
            await trio().sleep(A_TURN)
            per_task = growth.per(size)
            event.set()
        return per_task

    return run_trio(main)


def floor(size: int) -> float:
    """Coroutines with their contexts, started and left alone."""

    async def wait() -> None:
        await bare_yield()

    growth = Growth()
    made = [(contextvars.copy_context(), wait()) for _ in range(size)]
    for context, coro in made:
        context.run(coro.send, None)
    per_task = growth.per(size)
    for _, coro in made:
        coro.close()
    return per_task


def _absent() -> str | None:
    return "needs a system that tells the resident memory" if sys.platform == "win32" else None


BENCHMARKS = (
    Benchmark(
        "A6",
        "memory of a parked coroutine, a million waiting on one future",
        Unit("bytes"),
        1_000_000,
        20_000,
        coroutines,
        (
            Side("floor", floor),
            Side("asyncio", with_asyncio),
            Side("trio", with_trio, needs="trio"),
        ),
        (share(0.95, "asyncio"),),
        child=True,
        absent=_absent,
    ),
    Benchmark(
        "A6",
        "memory of a parked future with nothing but poll, a million waiting on one future",
        Unit("bytes"),
        1_000_000,
        20_000,
        guests,
        (Side("asyncio", with_asyncio),),
        (share(0.5, "asyncio"),),
        child=True,
        absent=_absent,
    ),
)
