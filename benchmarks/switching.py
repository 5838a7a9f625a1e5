"""A1, A9: what one resume of a task costs."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.loops import bare_yield, run_asyncio, run_ours, run_trio, run_uvloop, trio
from benchmarks.model import Benchmark, Side, Unit, faster, share
from runtime.async_runtime import Poll, yield_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime.async_runtime import Executor, Waker

__all__ = ("BENCHMARKS",)


async def spin(
    count: int, give_way: Callable[[], Awaitable[Any]]
) -> None:  # Any: what comes back is not looked at
    """Give way *count* times."""
    for _ in range(count):
        await give_way()


def ours(size: int, *, tasks: int) -> float:
    """Our executor, with the public `yield_now`."""

    async def main(executor: Executor) -> float:
        begin = perf_counter()
        handles = [executor.spawn(spin(size // tasks, yield_now)) for _ in range(tasks)]
        for handle in handles:
            await handle
        return (perf_counter() - begin) / size

    return run_ours(main)


def floor(size: int, *, tasks: int) -> float:
    """No loop at all: a queue of coroutines, each resumed in its context."""
    queue = deque(
        (contextvars.copy_context(), spin(size // tasks, bare_yield)) for _ in range(tasks)
    )
    begin = perf_counter()
    while queue:
        context, coro = queue.popleft()
        try:
            context.run(coro.send, None)
        except StopIteration:
            continue
        queue.append((context, coro))
    return (perf_counter() - begin) / size


def floor_alone(size: int) -> float:
    """A single coroutine needs not even a queue."""
    context, coro = contextvars.copy_context(), spin(size, bare_yield)
    begin = perf_counter()
    try:
        while True:
            context.run(coro.send, None)
    except StopIteration:
        return (perf_counter() - begin) / size


def with_asyncio(
    size: int,
    *,
    tasks: int,
    run: Callable[..., float],
    give_way: Callable[[], Awaitable[Any]],  # Any: what comes back is not looked at
) -> float:
    """Tasks of asyncio; *run* chooses the loop under them."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        begin = perf_counter()
        made = [loop.create_task(spin(size // tasks, give_way)) for _ in range(tasks)]
        for task in made:
            await task
        return (perf_counter() - begin) / size

    return run(main)


def with_trio(size: int, *, tasks: int) -> float:
    """Tasks of trio, with its own way to give way."""

    async def main() -> float:
        begin = perf_counter()
        async with trio().open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(spin, size // tasks, trio().lowlevel.checkpoint)
        return (perf_counter() - begin) / size

    return run_trio(main)


class Guest:
    """A frame of a guest language: nothing but `poll`, no coroutine."""

    __slots__ = ("left",)

    def __init__(self, count: int) -> None:
        self.left = count

    def poll(self, waker: Waker) -> Poll[None]:
        """Ask for another turn until the count is used up."""
        if not self.left:
            return Poll.ready(None)
        self.left -= 1
        waker.wake()
        return Poll.pending()


def guests(size: int, *, tasks: int) -> float:
    """As `ours`, with frames of a guest language in the place of coroutines."""

    async def main(executor: Executor) -> float:
        begin = perf_counter()
        handles = [executor.spawn(Guest(size // tasks)) for _ in range(tasks)]
        for handle in handles:
            await handle
        return (perf_counter() - begin) / size

    return run_ours(main)


def _no_wait() -> Awaitable[None]:
    return asyncio.sleep(0)


def _switching(tasks: int) -> Benchmark:
    alone = tasks == 1
    return Benchmark(
        "A1",
        f"task switch, {tasks} task{'' if alone else 's'}",
        Unit("ns per switch", 1e-9),
        1_000_000,
        10_000,
        partial(ours, tasks=tasks),
        (
            Side("floor", floor_alone if alone else partial(floor, tasks=tasks)),
            Side(
                "asyncio",
                partial(with_asyncio, tasks=tasks, run=run_asyncio, give_way=bare_yield),
            ),
            Side(
                "asyncio.sleep(0)",
                partial(with_asyncio, tasks=tasks, run=run_asyncio, give_way=_no_wait),
            ),
            Side(
                "uvloop",
                partial(with_asyncio, tasks=tasks, run=run_uvloop, give_way=bare_yield),
                needs="uvloop",
            ),
            Side("trio", partial(with_trio, tasks=tasks), needs="trio"),
        ),
        (faster(4, "asyncio"), faster(2.2, "uvloop"), share(1.5, "floor")),
    )


def _guests(tasks: int) -> Benchmark:
    alone = tasks == 1
    return Benchmark(
        "A9",
        f"turn of a future with nothing but poll, {tasks} task{'' if alone else 's'}",
        Unit("ns per turn", 1e-9),
        1_000_000,
        10_000,
        partial(guests, tasks=tasks),
        (Side("our coroutines", partial(ours, tasks=tasks)),),
        (share(1.3, "our coroutines"),),
    )


BENCHMARKS = (_switching(1), _switching(1000), _guests(1), _guests(1000))
