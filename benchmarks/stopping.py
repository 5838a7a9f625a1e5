"""B4, B5: how soon a timeout or a cancel is answered; what it costs to cancel queued jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_futures
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.hops import nothing
from benchmarks.loops import run_asyncio, run_ours
from benchmarks.measure import percentile
from benchmarks.model import Benchmark, Side, Unit, within
from benchmarks.wakes import helper
from runtime.async_runtime import sleep
from runtime.errors import CancellationError
from runtime.workers import Worker, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from runtime.async_runtime import Executor
    from runtime.workers.job import WorkerFuture

__all__ = ("BENCHMARKS",)

THREADS = os.cpu_count() or 4
PENDING = 10_000  # deadlines far away
AN_HOUR = 3600.0
SPAN = 0.02  # seconds that a job gets
A_LOOK = 0.001  # seconds between two looks whether a job has started
PROMISED = 0.005 + sys.getswitchinterval()


# ---- B4: a running job ------------------------------------------------------------------------


class Job:
    """Runs until it is told to end; computing (it wants the GIL all the time), or waiting."""

    def __init__(self, *, computes: bool) -> None:
        self.computes = computes
        self.started = False
        self.over = threading.Event()

    def __call__(self) -> None:
        self.started = True
        if not self.computes:
            self.over.wait()
        over = self.over.is_set
        while not over():
            pass


@contextlib.contextmanager
def pending_deadlines() -> Generator[None]:
    """Keep many jobs with deadlines queued behind one that does not end."""
    release = threading.Event()
    with WorkerPool(max_workers=1) as pool:
        blocker = Worker.spawn(release.wait, pool=pool)
        jobs = [Worker.spawn(nothing, timeout=AN_HOUR, pool=pool) for _ in range(PENDING)]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            release.set()
            blocker.result()


def timeout_ours(size: int, *, computes: bool) -> float:
    """Return the p99 of the time from the deadline to the task that awaits."""

    async def main(_executor: Executor) -> float:
        late = []
        for _ in range(size):
            job = Job(computes=computes)
            begin = perf_counter()
            try:
                await Worker.spawn(job, timeout=SPAN)
            except TimeoutError:
                late.append(perf_counter() - begin - SPAN)
            job.over.set()
        return percentile(late, 0.99)

    with pending_deadlines():
        return run_ours(main)


def timeout_asyncio(size: int, *, computes: bool) -> float:
    """``asyncio.wait_for`` around a pool's thread, as many timers pending."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(PENDING):
            loop.call_later(AN_HOUR, nothing)
        late = []
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in range(size):
                job = Job(computes=computes)
                begin = perf_counter()
                try:
                    await asyncio.wait_for(loop.run_in_executor(pool, job), SPAN)
                except TimeoutError:
                    late.append(perf_counter() - begin - SPAN)
                job.over.set()
        return percentile(late, 0.99)

    return run_asyncio(main)


def cancel_ours(size: int, *, computes: bool) -> float:
    """Return the p99 of the time from another thread's ``cancel()`` to the task that awaits."""
    called = 0.0

    def cancel(future: WorkerFuture[Any]) -> None:
        nonlocal called
        called = perf_counter()
        future.cancel()

    async def main(_executor: Executor) -> float:
        late = []
        for _ in range(size):
            job = Job(computes=computes)
            future = Worker.spawn(job)
            while not job.started:
                await sleep(A_LOOK)
            calls.put(partial(cancel, future))
            try:
                await future
            except CancellationError:
                late.append(perf_counter() - called)
            job.over.set()
        return percentile(late, 0.99)

    with pending_deadlines(), helper() as calls:
        return run_ours(main)


# ---- B5: queued jobs --------------------------------------------------------------------------


class Ran:
    """A job that counts how often it ran; list.append is atomic."""

    def __init__(self) -> None:
        self.times: list[None] = []

    def __call__(self) -> None:
        self.times.append(None)


class Stops:
    """What cancelling cost: per job, until the pool was free again, and how many ran anyway."""

    def __init__(self) -> None:
        self.each = self.drain = 0.0
        self.ran = 0


def stop_ours(size: int, *, at_once: bool = False) -> Stops:
    """Cancel each future, or all by ``cancel_all``."""
    stops, ran, release = Stops(), Ran(), threading.Event()
    with WorkerPool(max_workers=THREADS) as pool:
        blockers = [Worker.spawn(release.wait, pool=pool) for _ in range(THREADS)]
        while any(blocker.handle.start_time is None for blocker in blockers):
            time.sleep(A_LOOK)
        futures = [Worker.spawn(ran, pool=pool) for _ in range(size)]
        begin = perf_counter()
        if at_once:
            pool.cancel_all()
        else:
            for future in futures:
                future.cancel()
        stops.each = (perf_counter() - begin) / size
        begin = perf_counter()
        release.set()
        Worker.spawn(nothing, pool=pool).result()
        stops.drain = perf_counter() - begin
    stops.ran = len(ran.times)
    return stops


def stop_thread_pool(size: int) -> Stops:
    """Cancel each future of a ThreadPoolExecutor."""
    stops, ran, release = Stops(), Ran(), threading.Event()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(release.wait)
        futures = [pool.submit(ran) for _ in range(size)]
        begin = perf_counter()
        for future in futures:
            future.cancel()
        stops.each = (perf_counter() - begin) / size
        begin = perf_counter()
        release.set()
        pool.submit(nothing).result()
        stops.drain = perf_counter() - begin
        wait_futures(futures)
    stops.ran = len(ran.times)
    return stops


def stop_asyncio(size: int) -> Stops:
    """Cancel each future of ``run_in_executor``; asyncio tells the pool in its next turn."""
    stops, ran, release = Stops(), Ran(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in range(THREADS):
                pool.submit(release.wait)
            futures: Sequence[asyncio.Future[None]] = [
                loop.run_in_executor(pool, ran) for _ in range(size)
            ]
            begin = perf_counter()
            for future in futures:
                future.cancel()
            release.set()
            await asyncio.sleep(0)  # the turn in which the pool is told
            stops.each = (perf_counter() - begin) / size
            begin = perf_counter()
            await loop.run_in_executor(pool, nothing)
            stops.drain = perf_counter() - begin

    run_asyncio(main)
    stops.ran = len(ran.times)
    return stops


def each(size: int, *, stop: Callable[[int], Stops]) -> float:
    """Return the time per cancelled job."""
    return stop(size).each


def drain(size: int, *, stop: Callable[[int], Stops]) -> float:
    """Return the time from the cancels until the pool has served the next job."""
    return stop(size).drain


def ran(size: int, *, stop: Callable[[int], Stops]) -> float:
    """Return how many of the cancelled jobs ran."""
    return stop(size).ran


def _running(title: str, measure: Callable[..., float], *peers: Side, computes: bool) -> Benchmark:
    return Benchmark(
        "B4",
        f"{title}, p99, {PENDING} deadlines pending, the job {'computes' if computes else 'waits'}",
        Unit("ms", 1e-3),
        200,
        3,
        partial(measure, computes=computes),
        peers,
        (within(PROMISED),),
        child=True,
    )


def _queued(title: str, unit: Unit, measure: Callable[..., float], limit: float) -> Benchmark:
    return Benchmark(
        "B5",
        f"cancel 10 000 queued jobs: {title}",
        unit,
        10_000,
        100,
        partial(measure, stop=stop_ours),
        (
            Side("our cancel_all", partial(measure, stop=partial(stop_ours, at_once=True))),
            Side("ThreadPoolExecutor", partial(measure, stop=stop_thread_pool)),
            Side("asyncio", partial(measure, stop=stop_asyncio)),
        ),
        (within(limit),),
    )


def _wait_for(*, computes: bool) -> Side:
    return Side("asyncio.wait_for", partial(timeout_asyncio, computes=computes))


BENCHMARKS = (
    _running("answer to a timeout", timeout_ours, _wait_for(computes=False), computes=False),
    _running("answer to a timeout", timeout_ours, _wait_for(computes=True), computes=True),
    _running("answer to a cancel", cancel_ours, computes=False),
    _running("answer to a cancel", cancel_ours, computes=True),
    _queued("each", Unit("us per job", 1e-6), each, 1e-6),
    _queued("until the pool serves the next job", Unit("ms", 1e-3), drain, 1e-3),
    _queued("how many ran", Unit("jobs"), ran, 0),
)
