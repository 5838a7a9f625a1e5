"""A2, A3: making tasks, and handing values between them."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections import deque
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.loops import TrioEvent, run_asyncio, run_ours, run_trio, run_uvloop, trio
from benchmarks.model import Benchmark, Side, Unit, faster, share
from runtime.async_runtime import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from runtime.async_runtime import Executor

__all__ = ("BENCHMARKS",)


async def nothing() -> None:
    """End at once."""


# ---- A2: spawn and finish ---------------------------------------------------------------------


def spawn_ours(size: int) -> float:
    """Spawn all, then await all."""

    async def main(executor: Executor) -> float:
        begin = perf_counter()
        handles = [executor.spawn(nothing()) for _ in range(size)]
        for handle in handles:
            await handle
        return (perf_counter() - begin) / size

    return run_ours(main)


def spawn_floor(size: int) -> float:
    """A queue of coroutines with their contexts, each run once; all are kept."""
    begin = perf_counter()
    made = [(contextvars.copy_context(), nothing()) for _ in range(size)]
    queue = deque(made)
    while queue:
        context, coro = queue.popleft()
        try:
            context.run(coro.send, None)
        except StopIteration:
            continue
    return (perf_counter() - begin) / size


def spawn_asyncio(size: int, *, run: Callable[..., float], eager: bool = False) -> float:
    """Do the same with tasks of asyncio; an eager one runs while it is made."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        if eager and sys.version_info >= (3, 12):
            loop.set_task_factory(asyncio.eager_task_factory)
        begin = perf_counter()
        made = [loop.create_task(nothing()) for _ in range(size)]
        for task in made:
            await task
        return (perf_counter() - begin) / size

    return run(main)


def spawn_trio(size: int) -> float:
    """Do the same in a nursery."""

    async def main() -> float:
        begin = perf_counter()
        async with trio().open_nursery() as nursery:
            for _ in range(size):
                nursery.start_soon(nothing)
        return (perf_counter() - begin) / size

    return run_trio(main)


# ---- A3: hand a value back and forth ----------------------------------------------------------
# Each of two players waits on a future of its own, makes the next one, then settles the other's.


def handoff_ours(size: int) -> float:
    """Promises, written out: a round trip is two resumes."""

    async def play(balls: list[Promise[None]], me: int) -> None:
        other = 1 - me
        for _ in range(size):
            await balls[me].future()
            balls[me] = Promise()
            balls[other].resolve(None)

    async def main(executor: Executor) -> float:
        balls: list[Promise[None]] = [Promise(), Promise()]
        players = [executor.spawn(play(balls, 0)), executor.spawn(play(balls, 1))]
        begin = perf_counter()
        balls[0].resolve(None)
        for player in players:
            await player
        cost = (perf_counter() - begin) / size
        balls[0].cancel()  # the last ball: nobody waits for it
        balls[1].cancel()
        return cost

    return run_ours(main)


def handoff_asyncio(size: int, *, run: Callable[..., float]) -> float:
    """Futures of asyncio."""

    async def play(balls: list[asyncio.Future[None]], me: int) -> None:
        loop = asyncio.get_running_loop()
        other = 1 - me
        for _ in range(size):
            await balls[me]
            balls[me] = loop.create_future()
            balls[other].set_result(None)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        balls = [loop.create_future(), loop.create_future()]
        players = [loop.create_task(play(balls, 0)), loop.create_task(play(balls, 1))]
        begin = perf_counter()
        balls[0].set_result(None)
        for player in players:
            await player
        return (perf_counter() - begin) / size

    return run(main)


def handoff_trio(size: int) -> float:
    """Events of trio, which has no futures."""

    async def play(balls: list[TrioEvent], me: int) -> None:
        other = 1 - me
        for _ in range(size):
            await balls[me].wait()
            balls[me] = trio().Event()
            balls[other].set()

    async def main() -> float:
        balls = [trio().Event(), trio().Event()]
        begin = perf_counter()
        async with trio().open_nursery() as nursery:
            nursery.start_soon(play, balls, 0)
            nursery.start_soon(play, balls, 1)
            balls[0].set()
        return (perf_counter() - begin) / size

    return run_trio(main)


class BareFuture:
    """The least that a coroutine can wait for: one waiter, no errors, no threads."""

    __slots__ = ("queue", "settled", "waiter")

    current: Coroutine[Any, Any, None]  # Any: a bare coroutine; the one that runs now

    def __init__(self, queue: deque[Coroutine[Any, Any, None]]) -> None:  # Any: as current
        self.queue = queue
        self.settled = False
        self.waiter: Coroutine[Any, Any, None] | None = None

    def settle(self) -> None:
        """Let the waiter go on."""
        self.settled = True
        if self.waiter is not None:
            self.queue.append(self.waiter)

    def __await__(self) -> Generator[None, object, None]:
        if not self.settled:
            self.waiter = BareFuture.current
            yield


def handoff_floor(size: int) -> float:
    """The same game on the barest futures and the barest loop."""
    queue: deque[Coroutine[Any, Any, None]] = deque()  # Any: bare coroutines

    async def play(balls: list[BareFuture], me: int) -> None:
        other = 1 - me
        for _ in range(size):
            await balls[me]
            balls[me] = BareFuture(queue)
            balls[other].settle()

    balls = [BareFuture(queue), BareFuture(queue)]
    queue.extend((play(balls, 0), play(balls, 1)))
    contexts = {coro: contextvars.copy_context() for coro in queue}
    balls[0].settle()
    begin = perf_counter()
    while queue:
        coro = BareFuture.current = queue.popleft()
        try:
            contexts[coro].run(coro.send, None)
        except StopIteration:
            continue
    return (perf_counter() - begin) / size


BENCHMARKS = (
    Benchmark(
        "A2",
        "spawn and finish a trivial coroutine",
        Unit("us per task", 1e-6),
        100_000,
        1_000,
        spawn_ours,
        (
            Side("floor", spawn_floor),
            Side("asyncio", partial(spawn_asyncio, run=run_asyncio)),
            Side(
                "asyncio eager", partial(spawn_asyncio, run=run_asyncio, eager=True), since=(3, 12)
            ),
            Side("uvloop", partial(spawn_asyncio, run=run_uvloop), needs="uvloop"),
            Side("trio", spawn_trio, needs="trio"),
        ),
        (faster(3, "asyncio"), share(1.1, "asyncio eager")),
    ),
    Benchmark(
        "A3",
        "round trip of a promise between two tasks",
        Unit("us per round trip", 1e-6),
        100_000,
        1_000,
        handoff_ours,
        (
            Side("floor", handoff_floor),
            Side("asyncio", partial(handoff_asyncio, run=run_asyncio)),
            Side("uvloop", partial(handoff_asyncio, run=run_uvloop), needs="uvloop"),
            Side("trio", handoff_trio, needs="trio"),
        ),
        (faster(2.5, "asyncio"), faster(1.4, "uvloop")),
    ),
)
