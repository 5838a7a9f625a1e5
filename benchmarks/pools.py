"""B6, B8: what a pool costs before it has done anything, and what a job costs that waits."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.hops import nothing
from benchmarks.model import Benchmark, Side, Unit, share, within
from runtime.workers import Worker, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("BENCHMARKS",)


# ---- B6: the first pool of a process; *size* means nothing ------------------------------------


def first_ours(_: int) -> float:
    """Make a `WorkerPool`, get one result."""
    begin = perf_counter()
    pool = WorkerPool(max_workers=2)
    Worker.spawn(nothing, pool=pool).result()
    return perf_counter() - begin


def first_thread_pool(_: int) -> float:
    """Make a ThreadPoolExecutor, get one result."""
    begin = perf_counter()
    pool = ThreadPoolExecutor(2)
    pool.submit(nothing).result()
    return perf_counter() - begin


def first_multiprocessing_pool(_: int) -> float:
    """Make a ThreadPool, get one result."""
    begin = perf_counter()
    pool = ThreadPool(2)
    pool.apply(nothing)
    return perf_counter() - begin


# ---- B8: jobs that wait behind one that does not end ------------------------------------------
# Counted by tracemalloc: to the byte, whoever asks for the memory. The futures are kept.


def queued(size: int, submit: Callable[[Callable[[], Any]], Any]) -> float:
    """Return the bytes that one *submit* keeps allocated."""
    submit(threading.Event().wait)  # its slot is taken for good; so the process just ends
    submit(nothing)
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    futures = [submit(nothing) for _ in range(size)]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / len(futures)


def queued_ours(size: int) -> float:
    """``Worker.spawn``."""
    return queued(size, partial(Worker.spawn, pool=WorkerPool(max_workers=1)))


def queued_thread_pool(size: int) -> float:
    """``ThreadPoolExecutor.submit``."""
    return queued(size, ThreadPoolExecutor(1).submit)


def queued_multiprocessing_pool(size: int) -> float:
    """``ThreadPool.apply_async``."""
    return queued(size, ThreadPool(1).apply_async)


BENCHMARKS = (
    Benchmark(
        "B6",
        "make a pool, get the first result",
        Unit("ms", 1e-3),
        1,
        1,
        first_ours,
        (
            Side("ThreadPoolExecutor", first_thread_pool),
            Side("ThreadPool", first_multiprocessing_pool),
        ),
        (within(0.002),),
        child=True,
    ),
    Benchmark(
        "B8",
        "memory of a queued job, 10 000 waiting",
        Unit("bytes"),
        10_000,
        1_000,
        queued_ours,
        (
            Side("ThreadPoolExecutor", queued_thread_pool),
            Side("ThreadPool", queued_multiprocessing_pool),
        ),
        (share(0.6, "ThreadPoolExecutor"),),
        child=True,
    ),
)
