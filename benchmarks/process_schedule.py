"""C4: jobs of very different durations on two children, beside the schedule without overhead."""

from __future__ import annotations

import functools
import heapq
import random
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.model import Benchmark, Unit, faster, within
from benchmarks.process_jobs import spin
from benchmarks.process_pools import KINDS, WORKERS, all_children, sides_of, why_not

if TYPE_CHECKING:
    from benchmarks.process_pools import Kind

__all__ = ("BENCHMARKS", "durations", "ideal")

MEAN = 0.001  # seconds
SIGMA = 1.8  # of the logarithm: of 2000, the longest take some 50 ms
SEED = 26


@functools.cache
def durations(count: int) -> tuple[float, ...]:
    """Return log-normal durations of the right mean; always the same ones."""
    rng = random.Random(SEED)
    raw = [rng.lognormvariate(0, SIGMA) for _ in range(count)]
    return tuple(each * MEAN * count / sum(raw) for each in raw)


def ideal(each: tuple[float, ...]) -> float:
    """Return the time where each job starts, in order, as soon as one of the children is free."""
    free = [0.0] * WORKERS
    for duration in each:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def scheduled(size: int, *, kind: Kind) -> float:
    """Return how many times the ideal it takes; jobs compute, submitted one by one, all at once."""
    each = durations(size)
    with kind.open() as children:
        all_children(children)
        begin = perf_counter()
        children.each(spin, each)
        return (perf_counter() - begin) / ideal(each)


_ours, *_others = sides_of(scheduled)

BENCHMARKS = (
    Benchmark(
        "C4",
        "2000 jobs of log-normal duration, mean 1 ms, in parts of the ideal schedule",
        Unit("of ideal"),
        2_000,
        50,
        _ours.measure,
        tuple(_others),
        (within(1.10), *(faster(1, kind.name) for kind in KINDS[1:])),
        absent=why_not,
    ),
)
