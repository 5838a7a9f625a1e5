"""B2, B3, B9: many no-ops at once."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.hops import nothing
from benchmarks.loops import run_asyncio, run_ours
from benchmarks.model import Benchmark, Side, Unit, adds, faster, within
from runtime.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runtime.async_runtime import Executor

__all__ = ("BENCHMARKS",)

THREADS = os.cpu_count() or 4  # as many as our default pool has; the peers get the same
CHUNK = 1_000
A_MINUTE = 60.0


# ---- B2: one by one, then all awaited ---------------------------------------------------------


def ours(size: int) -> float:
    """``Worker.spawn``, awaited on our executor."""

    async def main(_executor: Executor) -> float:
        begin = perf_counter()
        for future in [Worker.spawn(nothing) for _ in range(size)]:
            await future
        return (perf_counter() - begin) / size

    Worker.spawn(nothing).result()  # the pool is there, as are the peers' pools
    return run_ours(main)


def floor(size: int) -> float:
    """A queue of calls, as many threads that take from it, a queue of what they return."""
    calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    answers: SimpleQueue[None] = SimpleQueue()

    def work() -> None:
        for call in iter(calls.get, None):
            answers.put(call())

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    begin = perf_counter()
    for _ in range(size):
        calls.put(nothing)
    for _ in range(size):
        answers.get()
    cost = (perf_counter() - begin) / size
    for _ in threads:
        calls.put(None)
    for thread in threads:
        thread.join()
    return cost


def thread_pool(size: int) -> float:
    """``ThreadPoolExecutor.submit``."""
    with ThreadPoolExecutor(THREADS) as pool:
        pool.submit(nothing).result()
        begin = perf_counter()
        for future in [pool.submit(nothing) for _ in range(size)]:
            future.result()
        return (perf_counter() - begin) / size


def multiprocessing_pool(size: int) -> float:
    """``multiprocessing.pool.ThreadPool.apply_async``."""
    with ThreadPool(THREADS) as pool:
        pool.apply(nothing)
        begin = perf_counter()
        for result in [pool.apply_async(nothing) for _ in range(size)]:
            result.get()
        return (perf_counter() - begin) / size


def gathered(size: int, *, submit: Callable[[Any], Callable[[], Any]]) -> float:
    """Gather on asyncio what ``submit(loop)()`` gives, with a default pool of our size."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as pool:
            loop.set_default_executor(pool)
            call = submit(loop)
            await call()
            begin = perf_counter()
            await asyncio.gather(*[call() for _ in range(size)])
            return (perf_counter() - begin) / size

    return run_asyncio(main)


def _in_executor(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[None]]:
    return partial(loop.run_in_executor, None, nothing)


def _to_thread(_: asyncio.AbstractEventLoop) -> Callable[[], Coroutine[Any, Any, None]]:
    return partial(asyncio.to_thread, nothing)


def with_anyio(size: int) -> float:
    """``anyio.to_thread.run_sync`` in a task group, on asyncio."""
    anyio = importlib.import_module("anyio")
    run_sync = importlib.import_module("anyio.to_thread").run_sync

    async def main() -> float:
        limiter = anyio.CapacityLimiter(THREADS)
        call = partial(run_sync, nothing, limiter=limiter)
        await call()
        begin = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(size):
                group.start_soon(call)
        return (perf_counter() - begin) / size

    return run_asyncio(main)


# ---- B3: the call itself ----------------------------------------------------------------------


def calls(size: int, *, call: Callable[[], Any]) -> float:
    """Return the median time of one *call*, which gives a future; workers run meanwhile."""
    times, futures = [], []
    for _ in range(size):
        begin = perf_counter()
        future = call()
        times.append(perf_counter() - begin)
        futures.append(future)
    for future in futures:
        future.result()
    return median(times)


def submit_calls(size: int) -> float:
    """The same for ``ThreadPoolExecutor.submit``."""
    with ThreadPoolExecutor(THREADS) as pool:
        return calls(size, call=partial(pool.submit, nothing))


# ---- B9: fan out ------------------------------------------------------------------------------


def spawn_all(size: int) -> float:
    """``Worker.spawn_all``, awaited on our executor."""
    Worker.spawn(nothing).result()

    async def main(_executor: Executor) -> float:
        begin = perf_counter()
        await Worker.spawn_all([nothing] * size)
        return (perf_counter() - begin) / size

    return run_ours(main)


def map_ours(size: int) -> float:
    """``Worker.map`` in chunks."""
    begin = perf_counter()
    sum(1 for _ in Worker.map(abs, range(size), chunksize=CHUNK))
    return (perf_counter() - begin) / size


def map_thread_pool(size: int) -> float:
    """``ThreadPoolExecutor.map``, which knows no chunks."""
    with ThreadPoolExecutor(THREADS) as pool:
        begin = perf_counter()
        sum(1 for _ in pool.map(abs, range(size), chunksize=CHUNK))
        return (perf_counter() - begin) / size


def map_multiprocessing_pool(size: int) -> float:
    """``multiprocessing.pool.ThreadPool.map`` in the same chunks."""
    with ThreadPool(THREADS) as pool:
        begin = perf_counter()
        sum(1 for _ in pool.map(abs, range(size), chunksize=CHUNK))
        return (perf_counter() - begin) / size


BENCHMARKS = (
    Benchmark(
        "B2",
        "no-ops spawned one by one, all awaited",
        Unit("us per job", 1e-6),
        100_000,
        500,
        ours,
        (
            Side("floor", floor),
            Side("ThreadPoolExecutor", thread_pool),
            Side("ThreadPool", multiprocessing_pool),
            Side("run_in_executor", partial(gathered, submit=_in_executor)),
            Side("asyncio.to_thread", partial(gathered, submit=_to_thread)),
            Side("anyio.to_thread", with_anyio, needs="anyio"),
        ),
        (faster(5, "ThreadPoolExecutor"), faster(15, "run_in_executor")),
    ),
    Benchmark(
        "B3",
        "the spawn call itself, median",
        Unit("us", 1e-6),
        10_000,
        500,
        partial(calls, call=partial(Worker.spawn, nothing)),
        (Side("ThreadPoolExecutor", submit_calls),),
        (within(3e-6),),
    ),
    Benchmark(
        "B3",
        "the spawn call with timeout=, median",
        Unit("us", 1e-6),
        10_000,
        500,
        partial(calls, call=partial(Worker.spawn, nothing, timeout=A_MINUTE)),
        (Side("without timeout", partial(calls, call=partial(Worker.spawn, nothing))),),
        (adds(1.5e-6, "without timeout"),),
    ),
    Benchmark(
        "B9",
        "spawn_all of 10 000 no-ops",
        Unit("us per job", 1e-6),
        10_000,
        200,
        spawn_all,
        (
            Side("gather(to_thread)", partial(gathered, submit=_to_thread)),
            Side("ThreadPoolExecutor", thread_pool),
        ),
        (faster(15, "gather(to_thread)"),),
    ),
    Benchmark(
        "B9",
        f"map of 100 000 items in chunks of {CHUNK}",
        Unit("us per item", 1e-6),
        100_000,
        2_000,
        map_ours,
        (
            Side("ThreadPoolExecutor", map_thread_pool),
            Side("ThreadPool", map_multiprocessing_pool),
        ),
        (faster(10, "ThreadPoolExecutor"),),
    ),
)
