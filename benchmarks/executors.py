"""B10, C11: executors of ours where a program expects those of the standard library."""

from __future__ import annotations

import contextlib
import importlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.model import Benchmark, Side, Unit, faster
from benchmarks.process_jobs import nothing
from benchmarks.process_pools import WORKERS, why_not
from runtime.interop.concurrent import PoolExecutor, ThreadExecutor
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

__all__ = ("BENCHMARKS",)

Open: TypeAlias = "Callable[[int], AbstractContextManager[Executor]]"

THREADS = os.cpu_count() or 4
CHUNK = 100


# ---- what makes them --------------------------------------------------------------------------


@contextlib.contextmanager
def lent(workers: int, **options: Any) -> Generator[Executor]:  # noqa: ANN401 - WorkerPool's own
    """Make a `PoolExecutor` over a pool."""
    with WorkerPool(workers, **options) as pool, PoolExecutor(pool) as executor:
        yield executor


def processes(workers: int) -> AbstractContextManager[Executor]:
    """Make a `ProcessExecutor`."""
    made: Executor = importlib.import_module("runtime.interop.concurrent").ProcessExecutor(workers)
    return made


def standard_processes(workers: int) -> AbstractContextManager[Executor]:
    """Make a ``concurrent.futures.ProcessPoolExecutor``."""
    made: Executor = importlib.import_module("concurrent.futures").ProcessPoolExecutor(workers)
    return made


# ---- what they do -----------------------------------------------------------------------------


@contextlib.contextmanager
def warm(make: Open, workers: int) -> Generator[Executor]:
    """Give an executor whose workers have each had time to start."""
    with make(workers) as executor:
        for future in [executor.submit(nothing) for _ in range(20 * workers)]:
            future.result()
        yield executor


def alone(size: int, *, make: Open, workers: int) -> float:
    """``submit(...).result()``, one at a time: the median."""
    times = []
    with warm(make, workers) as executor:
        for _ in range(size):
            begin = perf_counter()
            executor.submit(nothing).result()
            times.append(perf_counter() - begin)
    return median(times)


def all_submitted(size: int, *, make: Open, workers: int) -> float:
    """All submitted one by one, then all read."""
    with warm(make, workers) as executor:
        begin = perf_counter()
        futures: list[Future[None]] = [executor.submit(nothing) for _ in range(size)]
        for future in futures:
            future.result()
        return (perf_counter() - begin) / size


def calls(size: int, *, make: Open, workers: int) -> float:
    """The call of ``submit`` itself: the median, while workers run."""
    times, futures = [], []
    with warm(make, workers) as executor:
        for _ in range(size):
            begin = perf_counter()
            future = executor.submit(nothing)
            times.append(perf_counter() - begin)
            futures.append(future)
        for future in futures:
            future.result()
    return median(times)


def mapped(size: int, *, make: Open, workers: int, chunk: int) -> float:
    """``map`` of a builtin, its results taken one by one."""
    with warm(make, workers) as executor:
        begin = perf_counter()
        count = sum(1 for _ in executor.map(abs, range(size), chunksize=chunk))
        if count != size:
            raise RuntimeError(f"{count} of {size} results came")
        return (perf_counter() - begin) / size


def _rows(
    key: str,
    work: str,
    sizes: tuple[int, int],
    measure: Callable[..., float],
    makers: dict[str, Open],
    **options: object,
) -> Benchmark:
    workers = WORKERS if key == "C11" else THREADS
    subject, *others = (
        Side(name, partial(measure, make=make, workers=workers, **options))
        for name, make in makers.items()
    )
    unit = Unit("us" if measure in (alone, calls) else "us per call", 1e-6)
    return Benchmark(
        key,
        f"{subject.name}: {work}",
        unit,
        *sizes,
        subject.measure,
        tuple(others),
        (faster(1, others[-1].name),),
        absent=why_not if key == "C11" else lambda: None,
    )


_THREADS: dict[str, Open] = {
    "ThreadExecutor": ThreadExecutor,
    "PoolExecutor": lent,
    "ThreadPoolExecutor": ThreadPoolExecutor,
}
_PROCESSES: dict[str, Open] = {
    "ProcessExecutor": processes,
    "PoolExecutor": partial(lent, backend="process"),
    "ProcessPoolExecutor": standard_processes,
}

BENCHMARKS = (
    _rows("B10", "submit and result, one at a time", (5_000, 50), alone, _THREADS),
    _rows("B10", "no-ops submitted one by one, then read", (50_000, 500), all_submitted, _THREADS),
    _rows("B10", "the submit call itself, median", (10_000, 500), calls, _THREADS),
    _rows("B10", "map of 50 000 items", (50_000, 500), mapped, _THREADS, chunk=1),
    _rows("C11", "submit and result, one at a time", (2_000, 20), alone, _PROCESSES),
    _rows("C11", "no-ops submitted one by one, then read", (10_000, 50), all_submitted, _PROCESSES),
    _rows("C11", "map of 10 000 items", (10_000, 50), mapped, _PROCESSES, chunk=1),
    _rows(
        "C11",
        f"map of 100 000 items in chunks of {CHUNK}",
        (100_000, 200),
        mapped,
        _PROCESSES,
        chunk=CHUNK,
    ),
)
