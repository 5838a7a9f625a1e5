"""A4, A7: what a timer costs, how late it is, and what a loop costs that only waits for one."""

from __future__ import annotations

import contextvars
import heapq
import itertools
import os
import random
import threading
import time
from pathlib import Path
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any

from benchmarks.loops import bare_yield, sides_of
from benchmarks.measure import percentile
from benchmarks.model import Benchmark, Side, Unit, faster, share, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from benchmarks.loops import Loop

__all__ = ("BENCHMARKS",)

SPAN = 1.0  # seconds over which the deadlines are spread
AN_HOUR = 3600.0
BUSY = 100  # tasks that are always ready, where a loop must be busy
SETTLE = 0.3  # seconds that an idle loop gets before it is watched


# ---- A4: many sleeps --------------------------------------------------------------------------


class Sleepers:
    """Coroutines that sleep for a random time each, the same times in every round."""

    def __init__(self, size: int, nap: Callable[[float], Awaitable[Any]]) -> None:
        self.late: list[float] = []
        self.left = size
        delays = random.Random(size)
        self.coros = [self.sleep(delays.uniform(0, SPAN), nap) for _ in range(size)]

    async def sleep(self, delay: float, nap: Callable[[float], Awaitable[Any]]) -> None:
        """Note how much later than asked for this goes on."""
        due = monotonic() + delay
        await nap(delay)
        self.late.append(monotonic() - due)
        self.left -= 1

    async def spin(self, give_way: Callable[[], Awaitable[Any]]) -> None:
        """Keep the loop from sleeping until all others have slept."""
        while self.left:
            await give_way()


def sleeps(size: int, *, loop: Loop) -> float:
    """Return the processor time per sleep, spawn included."""
    sleepers = Sleepers(size, loop.nap)
    begin = process_time()
    loop.run_all(sleepers.coros)
    return (process_time() - begin) / size


def sleeps_floor(size: int) -> float:
    """A heap of coroutines with their contexts, and nothing around it."""
    number = itertools.count()
    due: list[tuple[float, int, contextvars.Context, Coroutine[Any, Any, None]]] = []

    async def nap(delay: float) -> None:
        heapq.heappush(due, (monotonic() + delay, next(number), *current))
        await bare_yield()

    sleepers = Sleepers(size, nap)
    begin = process_time()
    for coro in sleepers.coros:
        current = contextvars.copy_context(), coro
        current[0].run(coro.send, None)
    while due:
        deadline, _, context, coro = heapq.heappop(due)
        if (span := deadline - monotonic()) > 0:
            time.sleep(span)
        try:
            context.run(coro.send, None)
        except StopIteration:
            continue
    return (process_time() - begin) / size


def lateness(size: int, *, loop: Loop, busy: int) -> float:
    """Return how late the latest sleeper but one in a hundred was."""
    sleepers = Sleepers(size, loop.nap)
    loop.run_all([*sleepers.coros, *(sleepers.spin(loop.give_way) for _ in range(busy))])
    return percentile(sleepers.late, 0.99)


# ---- A7: an idle loop -------------------------------------------------------------------------
# In a process of its own, in a thread of its own; the main thread watches it from outside.


def _other_threads() -> list[Path]:
    """Return the folders of all threads of this process but the calling one."""
    mine = str(threading.get_native_id())
    return [folder for folder in Path("/proc/self/task").iterdir() if folder.name != mine]


def _switches() -> float:
    """Return how often the other threads have gone to sleep so far."""
    lines = (
        line
        for folder in _other_threads()
        for line in (folder / "status").read_text(encoding="ascii").splitlines()
    )
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def _processor_time() -> float:
    """Return the seconds that the other threads have computed so far."""
    return sum(
        int((folder / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        for folder in _other_threads()
    )


def idle(size: int, *, loop: Loop, count: Callable[[], float]) -> float:
    """Return what *count* counts per second; *size* is the time to watch, in tenths of a second."""

    async def wait() -> None:
        await loop.nap(AN_HOUR)

    # Daemon: it is left alone when this process ends.
    threading.Thread(target=loop.run_all, args=([wait()],), daemon=True).start()
    time.sleep(SETTLE)
    before = count()
    time.sleep(size / 10)
    return (count() - before) / (size / 10)


def _linux_only() -> str | None:
    return None if os.path.exists("/proc/self/task") else "needs Linux's /proc"


def _late(title: str, busy: int) -> Benchmark:
    subject, *peers = sides_of(lateness, busy=busy)
    return Benchmark(
        "A4",
        f"lateness of a sleep, p99 of 10 000 in 1 s, {title}",
        Unit("us", 1e-6),
        10_000,
        100,
        subject.measure,
        tuple(peers),
        (share(1.0, "asyncio"),),
    )


def _idle(title: str, unit: Unit, count: Callable[[], float]) -> Benchmark:
    subject, *peers = sides_of(idle, count=count)
    return Benchmark(
        "A7",
        f"idle, a timer an hour away: {title}",
        unit,
        20,
        2,
        subject.measure,
        tuple(peers),
        (within(0),),
        child=True,
        absent=_linux_only,
    )


_sleep, *_peers = sides_of(sleeps)

BENCHMARKS = (
    Benchmark(
        "A4",
        "100 000 random sleeps within 1 s, processor time",
        Unit("us per sleep", 1e-6),
        100_000,
        1_000,
        _sleep.measure,
        (Side("floor", sleeps_floor), *_peers),
        (faster(1.6, "asyncio"),),
    ),
    _late("the loop idle", 0),
    _late(f"{BUSY} tasks always ready", BUSY),
    _idle("wake-ups", Unit("per second"), _switches),
    _idle("processor time", Unit("us per second", 1e-6), _processor_time),
)
