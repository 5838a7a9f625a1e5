"""B1: the round trip of a no-op through a worker, one at a time."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.loops import run_asyncio, run_ours, run_trio, run_uvloop, trio
from benchmarks.model import Benchmark, Side, Unit, faster, share
from runtime.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.model import Target
    from runtime.async_runtime import Executor

__all__ = (
    "BENCHMARKS",
    "laps",
    "nothing",
    "run_in_executor",
    "to_thread",
    "with_anyio",
    "with_trio",
)


def nothing() -> None:
    """Do no work: what is left is the way there and back."""


async def laps(size: int, trip: Callable[[], Awaitable[Any]]) -> float:
    """Return the median time of one trip."""
    times = []
    for _ in range(size):
        begin = perf_counter()
        await trip()
        times.append(perf_counter() - begin)
    return median(times)


def ours(size: int) -> float:
    """``await Worker.spawn(nothing)`` on our executor."""

    async def main(_executor: Executor) -> float:
        return await laps(size, partial(Worker.spawn, nothing))

    return run_ours(main)


def to_thread(size: int, *, run: Callable[..., float] = run_asyncio) -> float:
    """``asyncio.to_thread``; *run* chooses the loop under it."""

    async def main() -> float:
        return await laps(size, partial(asyncio.to_thread, nothing))

    return run(main)


def run_in_executor(size: int, *, run: Callable[..., float] = run_asyncio) -> float:
    """``loop.run_in_executor`` with the default pool; *run* chooses the loop."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        return await laps(size, partial(loop.run_in_executor, None, nothing))

    return run(main)


def with_trio(size: int) -> float:
    """``trio.to_thread.run_sync``."""

    async def main() -> float:
        return await laps(size, partial(trio().to_thread.run_sync, nothing))

    return run_trio(main)


def with_anyio(size: int, *, run: Callable[..., float] = run_asyncio) -> float:
    """``anyio.to_thread.run_sync``; *run* chooses the loop under it."""
    run_sync = importlib.import_module("anyio.to_thread").run_sync

    async def main() -> float:
        return await laps(size, partial(run_sync, nothing))

    return run(main)


def thread_pool(size: int) -> float:
    """``ThreadPoolExecutor.submit().result()``, from a plain thread."""
    times = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(size):
            begin = perf_counter()
            pool.submit(nothing).result()
            times.append(perf_counter() - begin)
    return median(times)


def floor(size: int) -> float:
    """Two threads, two queues: ping-pong."""
    calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    answers: SimpleQueue[None] = SimpleQueue()

    def work() -> None:
        for call in iter(calls.get, None):
            answers.put(call())

    thread = threading.Thread(target=work)
    thread.start()
    times = []
    for _ in range(size):
        begin = perf_counter()
        calls.put(nothing)
        answers.get()
        times.append(perf_counter() - begin)
    calls.put(None)
    thread.join()
    return median(times)


def _hop(title: str, targets: tuple[Target, ...], *, pinned: bool) -> Benchmark:
    return Benchmark(
        "B1",
        f"round trip of a no-op, one at a time, {title}",
        Unit("us", 1e-6),
        5_000,
        50,
        ours,
        (
            Side("floor", floor),
            Side("ThreadPoolExecutor", thread_pool),
            Side("asyncio.to_thread", to_thread),
            Side("run_in_executor", run_in_executor),
            Side("uvloop to_thread", partial(to_thread, run=run_uvloop), needs="uvloop"),
            Side("anyio.to_thread", with_anyio, needs="anyio"),
            Side("trio.to_thread", with_trio, needs="trio"),
        ),
        targets,
        child=True,
        pinned=pinned,
    )


BENCHMARKS = (
    _hop(
        "on one processor",
        (faster(3, "asyncio.to_thread"), faster(1.2, "ThreadPoolExecutor"), share(1.4, "floor")),
        pinned=True,
    ),
    _hop("free", (), pinned=False),
)
