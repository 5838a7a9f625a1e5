"""C8, C9: what children cost that have nothing to do, watched from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.model import Benchmark, Side, Unit, adds, share, within
from benchmarks.process_pools import WORKERS, sides_of, why_not
from benchmarks.process_subject import Subject
from benchmarks.process_tree import Tree, proportional

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.model import Target
    from benchmarks.process_pools import Kind

__all__ = ("BENCHMARKS",)

MIB = 1 << 20
PEERS = ("loky", "pebble", "mpire", "joblib")
FEW = 3  # rounds
SETTLE = 0.3  # seconds until what has just started is idle


def child_memory(_: int, *, kind: Kind) -> float:
    """Return the bytes of one child; what it shares with others counts in parts."""
    with Subject(kind.name) as subject:
        time.sleep(SETTLE)
        return sum(map(proportional, subject.children)) / len(subject.children)


def all_memory(_: int, *, kind: Kind) -> float:
    """Return the bytes of all that was started (templates, trackers), divided by the children."""
    with Subject(kind.name) as subject:
        time.sleep(SETTLE)
        return Tree(subject.pid).proportional() / WORKERS


def idle(size: int, *, kind: Kind, count: Callable[[Tree], float]) -> float:
    """Return what *count* counts per second; *size* is the time to watch, in milliseconds."""
    with Subject(kind.name) as subject:
        time.sleep(SETTLE)
        tree = Tree(subject.pid)
        before = count(tree)
        time.sleep(size / 1000)
        return (count(tree) - before) / (size / 1000)


def _row(
    key: str,
    title: str,
    unit: Unit,
    sizes: tuple[int, int],
    sides: tuple[Side, ...],
    *targets: Target,
) -> Benchmark:
    ours, *others = sides
    return Benchmark(
        key,
        title,
        unit,
        *sizes,
        ours.measure,
        tuple(others),
        targets,
        rounds=FEW,
        absent=why_not,
    )


BENCHMARKS = (
    _row(
        "C8",
        "memory of an idle child (PSS)",
        Unit("MiB", MIB),
        (1, 1),
        sides_of(child_memory),
        adds(2 * MIB, "ProcessPoolExecutor"),
    ),
    _row(
        "C8",
        "memory of all that an idle pool has started, per child",
        Unit("MiB", MIB),
        (1, 1),
        sides_of(all_memory, without=("pebble", "mpire", "joblib")),
        share(1, "loky"),
    ),
    _row(
        "C9",
        "an idle pool: wake-ups in parent and children",
        Unit("per second"),
        (1_000, 200),
        sides_of(idle, count=Tree.wake_ups),
        within(0),
    ),
    _row(
        "C9",
        "an idle pool: processor time in parent and children",
        Unit("us per second", 1e-6),
        (1_000, 200),
        sides_of(idle, without=PEERS, count=Tree.processor_time),
        within(0),
    ),
)
