"""C3: large arrays, to a child and back: the time, and the memory on the way."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.model import Benchmark, Side, Unit, faster, share, within
from benchmarks.process_jobs import meet_with_numpy, touch, touched
from benchmarks.process_pools import Kind, all_children, sides_of, why_not
from benchmarks.process_subject import Subject
from benchmarks.process_tree import Tree

__all__ = ("BENCHMARKS",)

MIB = 1 << 20
NUMBER = 8  # bytes
PEAK_MIB = 64
FEW = 3  # rounds
TRIPS = 2  # the memory of a second trip must not add to that of the first


@functools.lru_cache(maxsize=1)
def array_of(mib: int) -> Any:  # noqa: ANN401 - numpy is not always there
    """Make an array of so many MiB, all in use."""
    return importlib.import_module("numpy").arange(mib * MIB // NUMBER, dtype="float64")


def there_and_back(size: int, *, kind: Kind, mib: int) -> float:
    """Return the time of an array's way to a child and back; both read something of each page."""
    array = array_of(mib)
    times = []
    with kind.open() as children:
        all_children(children, meet_with_numpy)
        for _ in range(size):
            begin = perf_counter()
            back = children.call(touched, array)
            total = touch(back)
            times.append(perf_counter() - begin)
            if total != touch(array):
                raise RuntimeError("another array came back")
            del back
    return median(times)


def memcpy(size: int, *, mib: int) -> float:
    """Copy the array each way, into memory that is in use already."""
    array = array_of(mib)
    module = importlib.import_module("numpy")
    other = module.ones_like(array)
    times = []
    for _ in range(size):
        begin = perf_counter()
        module.copyto(other, array)
        module.copyto(array, other)
        times.append(perf_counter() - begin)
    return median(times)


def fresh_copies(size: int, *, mib: int) -> float:
    """Copy the array each way, into memory that is new, as a receiver's is."""
    array = array_of(mib)
    times = []
    for _ in range(size):
        begin = perf_counter()
        touch(array.copy())
        touch(array.copy())
        times.append(perf_counter() - begin)
    return median(times)


# ---- memory -----------------------------------------------------------------------------------


def peak(_: int, *, kind: Kind, way: str) -> float:
    """Return how much more memory there was at most than the array, in sizes of the array."""
    with Subject(kind.name) as subject:
        subject.ask(f"prepare {way} {PEAK_MIB}")
        tree = Tree(subject.pid)
        before = tree.memory()
        highest = before
        subject.say(f"{way} {TRIPS}")
        while not subject.has_answered():
            highest = max(highest, tree.memory())
        subject.answer()
    # What comes back is the array itself, and not there before; what goes is there already.
    own = PEAK_MIB * MIB if way == "out" else 0
    return max(0.0, (highest - before - own) / (PEAK_MIB * MIB))


def _absent() -> str | None:
    if importlib.util.find_spec("numpy") is None:
        return "needs numpy"
    return why_not()


def _array(mib: int, size: int, peers: tuple[str, ...], *more: tuple[float, str]) -> Benchmark:
    ours, *others = sides_of(there_and_back, mib=mib)
    return Benchmark(
        "C3",
        f"a numpy array of {mib} MiB in and out",
        Unit("ms", 1e-3),
        size,
        1,
        ours.measure,
        (
            Side("memcpy", partial(memcpy, mib=mib)),
            Side("copies, new memory", partial(fresh_copies, mib=mib)),
            *(side for side in others if side.name in peers),
        ),
        (*(faster(factor, peer) for factor, peer in more), share(3, "memcpy")),
        absent=_absent,
    )


def _peak(title: str, way: str) -> Benchmark:
    ours, *others = sides_of(peak, without=("multiprocessing.Pool", "pebble", "mpire"), way=way)
    return Benchmark(
        "C3",
        f"peak memory beyond the array itself, {PEAK_MIB} MiB {title}",
        Unit("copies"),
        1,
        1,
        ours.measure,
        tuple(others),
        (within(1.05),),  # one copy, and what an interpreter needs besides
        rounds=FEW,
        absent=_absent,
    )


_STDLIB = ("ProcessPoolExecutor", "multiprocessing.Pool")
_ALL = (*_STDLIB, "loky", "pebble", "mpire", "joblib")

BENCHMARKS = (
    _array(1, 50, _ALL),
    _array(64, 5, (*_STDLIB, "joblib"), (4, "ProcessPoolExecutor")),
    replace(_array(256, 2, _STDLIB), rounds=FEW),
    _peak("to a child", "in"),
    _peak("from a child", "out"),
)
