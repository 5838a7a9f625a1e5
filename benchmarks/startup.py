"""A8: what ``import runtime`` costs a program that starts."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks.measure import child_environment
from benchmarks.model import Benchmark, Side, Unit, adds, within

__all__ = ("BENCHMARKS",)

UNWANTED = ("asyncio", "multiprocessing", "concurrent.futures.process")


def start(size: int, *, code: str) -> float:
    """Return the median time that an interpreter takes to run *code*; bytecode is cached."""
    environment = child_environment()
    laps = []
    for _ in range(size):
        begin = perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        laps.append(perf_counter() - begin)
    return median(laps)


def unwanted(_: int, *, code: str) -> float:
    """Return how many of the unwanted modules are loaded after *code*."""
    count = f"import sys; print(sum(name in sys.modules for name in {UNWANTED!r}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {count}"],
        check=True,
        env=child_environment(),
        stdout=subprocess.PIPE,
    )
    return int(done.stdout)


def _import(name: str) -> Side:
    return Side(f"import {name}", partial(start, code=f"import {name}"))


BENCHMARKS = (
    Benchmark(
        "A8",
        "start an interpreter and import runtime",
        Unit("ms", 1e-3),
        5,
        1,
        partial(start, code="import runtime"),
        (
            Side("bare start", partial(start, code="pass")),
            _import("concurrent.futures.thread"),
            _import("asyncio"),
        ),
        (adds(0.020, "bare start"),),
    ),
    Benchmark(
        "A8",
        "of asyncio, multiprocessing and concurrent.futures.process, import runtime loads",
        Unit("modules"),
        1,
        1,
        partial(unwanted, code="import runtime"),
        (),
        (within(0),),
    ),
)
