"""All benchmarks, in the order of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import (
    awaits,
    executors,
    hops,
    memory,
    pools,
    process_arrays,
    process_idle,
    process_recovery,
    process_schedule,
    process_start,
    process_trips,
    startup,
    stopping,
    switching,
    tasks,
    throughput,
    timers,
    wakes,
)

if TYPE_CHECKING:
    from benchmarks.model import Benchmark

__all__ = ("ALL", "find")

_MODULES = (
    switching,
    tasks,
    timers,
    wakes,
    memory,
    startup,
    hops,
    throughput,
    stopping,
    awaits,
    pools,
    process_trips,
    process_arrays,
    process_schedule,
    process_start,
    process_recovery,
    process_idle,
    executors,
)


def _number(benchmark: Benchmark) -> tuple[str, int]:
    """Return what sorts C10 behind C9."""
    return benchmark.key[0], int(benchmark.key[1:])


ALL: tuple[Benchmark, ...] = tuple(
    sorted((each for module in _MODULES for each in module.BENCHMARKS), key=_number)
)


def find(name: str) -> Benchmark:
    """Return the benchmark with this name."""
    return next(each for each in ALL if each.name == name)
