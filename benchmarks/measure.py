"""Measure one benchmark: rounds in which every side has its turn, so that noise meets them all."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.model import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.model import Benchmark, Side, Target

__all__ = ("Ratio", "Result", "child_environment", "percentile", "run")

CHILD_TIMEOUT = 300.0  # seconds: only a hang takes longer
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure made of two sides' costs: of the medians, and the extremes of all rounds."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Result:
    """What was measured: the cost of each side in each round, in the same order."""

    benchmark: Benchmark
    costs: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # sides that failed, and why
    absent: str | None = None  # why nothing was measured

    def cost(self, side: str) -> float:
        """Return the median of a side."""
        return median(self.costs[side])

    def speedup(self, side: str) -> Ratio | None:
        """Return how many times our cost another side's is; None where one is nothing."""
        ours, theirs = self.costs.get(OURS), self.costs[side]
        if not ours or min(*ours, *theirs) <= 0:  # a sleep can end early
            return None
        each = [their / our for our, their in zip(ours, theirs, strict=True)]
        return Ratio(median(theirs) / median(ours), min(each), max(each))

    def score(self, target: Target) -> Ratio | None:
        """Return the figure that *target* is about; None where a side is missing."""
        ours = self.costs.get(OURS)
        theirs = self.costs.get(target.against) if target.against else ours
        if ours is None or theirs is None:
            return None
        each = [target.score(our, their) for our, their in zip(ours, theirs, strict=True)]
        return Ratio(target.score(median(ours), median(theirs)), min(each), max(each))


def run(benchmark: Benchmark, size: int, rounds: int, *, warm_up: bool) -> Result:
    """Measure all sides of *benchmark*.

    Args:
        benchmark: What to run.
        size: How much work one measure does.
        rounds: How many measures each side gets.
        warm_up: Whether each side first runs once, small, without being counted: code is then
            specialised, bytecode cached, pools started.
    """
    result = Result(benchmark, absent=benchmark.absent())
    if result.absent is not None:
        return result
    sides = list(benchmark.sides())
    if benchmark.rounds is not None:
        rounds, warm_up = min(rounds, benchmark.rounds), False
    if warm_up:
        for side in sides:
            _try(result, side, min(size, max(benchmark.small, size // 10)), counted=False)
    _interleave(result, sides, size, rounds)
    for name in result.errors:
        result.costs.pop(name, None)  # rounds must be whole
    order = {side.name: place for place, side in enumerate(sides)}
    result.costs = dict(sorted(result.costs.items(), key=lambda item: order[item[0]]))
    return result


def _interleave(result: Result, sides: list[Side], size: int, rounds: int) -> None:
    """Measure every side in each round, but for those that have failed."""
    for number in range(rounds):
        turn = number % len(sides)  # nobody always comes first
        for side in sides[turn:] + sides[:turn]:
            if side.name not in result.errors:
                _try(result, side, size, counted=True)


def _try(result: Result, side: Side, size: int, *, counted: bool) -> None:
    """Measure *side* once; note the error of one that fails."""
    gc.collect()  # what the one before left behind is not this one's
    try:
        if result.benchmark.child:
            cost = _in_child(result.benchmark, side, size)
        else:
            cost = side.measure(size)
    except Exception as error:  # noqa: BLE001 - shown; the others go on
        result.errors.setdefault(side.name, f"{type(error).__name__}: {error}")
        return
    if counted:
        result.costs.setdefault(side.name, []).append(cost)


def _in_child(benchmark: Benchmark, side: Side, size: int) -> float:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.child", benchmark.name, side.name, str(size)]
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=child_environment(),
        timeout=CHILD_TIMEOUT,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"the child ended with {done.returncode}: {lines[-1]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def child_environment() -> dict[str, str]:
    """Return this process's environment for a child that is to start as a user's program would.

    Bytecode is cached: without that, every child would compile all that it imports. The
    package is found where this process has found it.
    """
    import runtime  # noqa: PLC0415 - what is measured, found wherever it is installed

    environment = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parent.parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that *part* (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
