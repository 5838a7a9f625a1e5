"""C1, C2, C3 (small payloads), C10: calls that cross to a child process and back."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.loops import run_ours
from benchmarks.model import OURS, Benchmark, Side, Unit, faster, within
from benchmarks.process_jobs import echo, nothing
from benchmarks.process_pools import WORKERS, all_children, kind_of, sides_of, why_not
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.model import Target
    from benchmarks.process_pools import Kind
    from runtime.async_runtime import Executor

__all__ = ("BENCHMARKS",)

PROCESS: Any = "process"
A_WHILE = 0.25  # seconds
SLOW_PART = 5  # a slow peer does this part of the no-ops
MIB = 1 << 20
PEERS = ("loky", "pebble", "mpire", "joblib")
ECHO = "import os, sys\nfd = int(sys.argv[1])\nwhile os.write(fd, os.read(fd, 1)): pass"


def laps(size: int, trip: Callable[[], object]) -> float:
    """Return the median time of one trip; of fewer where they take too long."""
    times = []
    end = perf_counter() + A_WHILE
    for _ in range(size):
        begin = perf_counter()
        trip()
        after = perf_counter()
        times.append(after - begin)
        if after > end:
            break
    return median(times)


def part_of(size: int, kind: Kind) -> int:
    """Return how many no-ops *kind* does: what is shown is the cost of one."""
    return max(1, size // SLOW_PART) if kind.is_slow else size


# ---- C1: one at a time ------------------------------------------------------------------------


def round_trip(size: int, *, kind: Kind) -> float:
    """Return the time of a no-op, there and back."""
    with kind.open() as children:
        all_children(children)
        return laps(part_of(size, kind), partial(children.trip, nothing))


def awaited(size: int) -> float:
    """The same, awaited on our executor."""

    async def main(_executor: Executor) -> float:
        times = []
        with WorkerPool(WORKERS, backend=PROCESS) as pool:
            await pool.spawn(nothing)
            for _ in range(size):
                begin = perf_counter()
                await pool.spawn(nothing)
                times.append(perf_counter() - begin)
        return median(times)

    return run_ours(main)


def floor(size: int) -> float:
    """One byte through a pair of sockets to a process that does nothing else, and back."""
    here, there = socket.socketpair()
    with here, there:
        command = [sys.executable, "-c", ECHO, str(there.fileno())]
        with subprocess.Popen(command, pass_fds=[there.fileno()]) as child:

            def trip() -> None:
                here.send(b"x")
                here.recv(1)

            trip()
            cost = laps(size, trip)
            child.kill()
    return cost


# ---- C2: one by one, then all waited for ------------------------------------------------------


def burst(size: int, *, kind: Kind) -> float:
    """Return the time per no-op."""
    with kind.open() as children:
        all_children(children)
        count = part_of(size, kind)
        begin = perf_counter()
        children.burst(nothing, count)
        return (perf_counter() - begin) / count


# ---- C3: bytes there and back -----------------------------------------------------------------


def payload(size: int, *, kind: Kind, length: int) -> float:
    """Return the time of ``echo(bytes)``."""
    data = bytes(length)
    with kind.open() as children:
        all_children(children)
        return laps(part_of(size, kind), partial(children.call, echo, data))


# ---- C10: a function that carries a megabyte --------------------------------------------------


def carrier() -> Callable[[], int]:
    """Make a function that is no module's, with a megabyte in its closure."""
    data = bytes(MIB)
    return lambda: len(data)


def carried(size: int, *, kind: Kind) -> float:
    """Return the time per call of one such function."""
    func = carrier()
    with kind.open() as children:
        all_children(children)
        begin = perf_counter()
        children.burst(func, size)
        return (perf_counter() - begin) / size


def by_hand(size: int, *, kind: Kind) -> float:
    """The same where a function must be pickled by hand: each time, as loky does it."""
    dumps = importlib.import_module("cloudpickle").dumps
    func = carrier()
    with kind.open() as children:
        all_children(children)
        begin = perf_counter()
        children.each(load_and_call, (dumps(func) for _ in range(size)))
        return (perf_counter() - begin) / size


def load_and_call(data: bytes) -> object:
    """Do in the child what such a function needs."""
    return importlib.import_module("pickle").loads(data)()


def picklings(size: int) -> float:
    """Return how often such a function was pickled, for each child."""
    module = importlib.import_module("cloudpickle.cloudpickle")
    pickler: Any = module.Pickler
    original = pickler.dump
    count = 0

    def dump(self: Any, obj: object) -> object:  # noqa: ANN401 - cloudpickle has no types
        nonlocal count
        count += 1
        return original(self, obj)

    func = carrier()
    pickler.dump = dump
    try:
        with kind_of(OURS).open() as children:
            all_children(children)
            count = 0
            children.burst(func, size)
    finally:
        pickler.dump = original
    if not count:
        raise RuntimeError("pickled by something that this does not see")
    return count / WORKERS


def _row(
    key: str,
    title: str,
    unit: Unit,
    sizes: tuple[int, int],
    sides: tuple[Side, ...],
    targets: tuple[Target, ...],
) -> Benchmark:
    """Make a row of sides of which ours is the first."""
    return Benchmark(
        key,
        title,
        unit,
        *sizes,
        sides[0].measure,
        sides[1:],
        targets,
        absent=why_not,
    )


def _payload(title: str, length: int, size: int, without: tuple[str, ...]) -> Benchmark:
    return _row(
        "C3",
        f"bytes in and out, {title}",
        Unit("us", 1e-6),
        (size, 5),
        sides_of(payload, without=without, length=length),
        tuple(map(faster, repeat(1), ("ProcessPoolExecutor", "multiprocessing.Pool"))),
    )


_FLOOR = Side("floor", floor)
_TRIP = (faster(4, "ProcessPoolExecutor"), faster(1.6, "multiprocessing.Pool"))
_CARRY = ("loky", "joblib")  # these pickle such functions themselves

BENCHMARKS = (
    _row(
        "C1",
        "round trip of a no-op to a child process, free",
        Unit("us", 1e-6),
        (3_000, 20),
        (*sides_of(round_trip), Side("ours, awaited", awaited), _FLOOR),
        (*_TRIP, *map(faster, repeat(1), PEERS)),
    ),
    replace(
        _row(
            "C1",
            "round trip of a no-op to a child process, on one processor",
            Unit("us", 1e-6),
            (3_000, 20),
            (*sides_of(round_trip, without=PEERS), _FLOOR),
            _TRIP,
        ),
        child=True,
        pinned=True,
    ),
    _row(
        "C2",
        "50 000 no-ops to two children, one by one, all waited for",
        Unit("us per job", 1e-6),
        (50_000, 200),
        sides_of(burst),
        (faster(10, "ProcessPoolExecutor"), faster(3.5, "multiprocessing.Pool")),
    ),
    _payload("1 KiB", 1 << 10, 1_000, ("joblib",)),
    _payload("16 KiB", 16 << 10, 1_000, PEERS),
    _payload("256 KiB", 256 << 10, 200, PEERS),
    _payload("4 MiB", 4 << 20, 30, ("joblib",)),
    _row(
        "C10",
        "a lambda with 1 MB in its closure, 1000 times",
        Unit("us per job", 1e-6),
        (1_000, 5),
        (
            *(side for side in sides_of(carried) if side.name in {OURS, *_CARRY}),
            Side(
                "ProcessPoolExecutor, by hand",
                partial(by_hand, kind=kind_of("ProcessPoolExecutor")),
                needs="cloudpickle",
            ),
        ),
        (faster(1, "loky"), faster(1, "ProcessPoolExecutor, by hand")),
    ),
    _row(
        "C10",
        "how often it is pickled, for each child",
        Unit("times"),
        (1_000, 5),
        (Side(OURS, picklings),),
        (within(1),),
    ),
)
