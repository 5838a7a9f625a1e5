"""All benchmarks, in the order of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import (
    hops,
    memory,
    pools,
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
    pools,
)

ALL: tuple[Benchmark, ...] = tuple(
    sorted((each for module in _MODULES for each in module.BENCHMARKS), key=lambda each: each.key)
)


def find(name: str) -> Benchmark:
    """Return the benchmark with this name."""
    return next(each for each in ALL if each.name == name)
