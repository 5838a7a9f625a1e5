"""A5: another thread settles what a task of a sleeping loop waits for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from functools import partial
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.loops import (
    TrioEvent,
    bare_yield,
    run_asyncio,
    run_ours,
    run_trio,
    run_uvloop,
    trio,
)
from benchmarks.model import Benchmark, Side, Unit, faster
from runtime.async_runtime import Promise, sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from runtime.async_runtime import Executor

__all__ = ("BENCHMARKS",)

PARKED = 0.01  # seconds, by which the other side is certainly asleep


@contextlib.contextmanager
def helper() -> Generator[SimpleQueue[Any]]:
    """Give a queue; what is put there is called by another thread, as ``item()``."""
    calls: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        for call in iter(calls.get, None):
            call()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield calls
    finally:
        calls.put(None)
        thread.join()


# ---- one at a time: the loop asks the thread, and sleeps until it has answered ----------------


def single_ours(size: int) -> float:
    """The thread resolves a promise."""

    async def main(_executor: Executor) -> float:
        laps = []
        for _ in range(size):
            begin = perf_counter()
            promise: Promise[None] = Promise()
            calls.put(partial(promise.resolve, None))
            await promise.future()
            laps.append(perf_counter() - begin)
        return median(laps)

    with helper() as calls:
        return run_ours(main)


def single_asyncio(size: int, *, run: Callable[..., float]) -> float:
    """The thread goes through ``call_soon_threadsafe``."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        laps = []
        for _ in range(size):
            begin = perf_counter()
            future: asyncio.Future[None] = loop.create_future()
            calls.put(partial(loop.call_soon_threadsafe, future.set_result, None))
            await future
            laps.append(perf_counter() - begin)
        return median(laps)

    with helper() as calls:
        return run(main)


def single_trio(size: int) -> float:
    """The thread goes through ``run_sync_soon``."""

    async def main() -> float:
        token = trio().lowlevel.current_trio_token()
        laps = []
        for _ in range(size):
            begin = perf_counter()
            event = trio().Event()
            calls.put(partial(token.run_sync_soon, event.set))
            await event.wait()
            laps.append(perf_counter() - begin)
        return median(laps)

    with helper() as calls:
        return run_trio(main)


def single_floor(size: int) -> float:
    """Two threads and two queues."""
    answers: SimpleQueue[None] = SimpleQueue()
    laps = []
    with helper() as calls:
        for _ in range(size):
            begin = perf_counter()
            calls.put(partial(answers.put, None))
            answers.get()
            laps.append(perf_counter() - begin)
    return median(laps)


# ---- a burst: as many tasks sleep, and the thread settles all in a row ------------------------


class Burst:
    """Counts the tasks that have been woken; the last one stops the watch."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size
        self.begin = self.end = 0.0

    def settle(self, calls: list[Callable[[], object]]) -> None:
        """On the thread: start the watch, make all calls."""
        self.begin = perf_counter()
        for call in calls:
            call()

    def woken(self) -> None:
        """In each task, after its wait."""
        self.left -= 1
        if not self.left:
            self.end = perf_counter()

    def cost(self) -> float:
        """Return the time per wake."""
        return (self.end - self.begin) / self.size


def burst_ours(size: int) -> float:
    """The thread resolves promises."""
    burst = Burst(size)

    async def wait(promise: Promise[None]) -> None:
        await promise.future()
        burst.woken()

    async def main(executor: Executor) -> float:
        promises: list[Promise[None]] = [Promise() for _ in range(size)]
        tasks = [executor.spawn(wait(promise)) for promise in promises]
        await sleep(PARKED)
        calls.put(partial(burst.settle, [partial(each.resolve, None) for each in promises]))
        await tasks[-1]
        return burst.cost()

    with helper() as calls:
        return run_ours(main)


def burst_asyncio(size: int, *, run: Callable[..., float]) -> float:
    """The thread goes through ``call_soon_threadsafe`` for each future."""
    burst = Burst(size)

    async def wait(future: asyncio.Future[None]) -> None:
        await future
        burst.woken()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(size)]
        tasks = [loop.create_task(wait(future)) for future in futures]
        await asyncio.sleep(PARKED)
        soon = loop.call_soon_threadsafe
        calls.put(partial(burst.settle, [partial(soon, each.set_result, None) for each in futures]))
        await tasks[-1]
        return burst.cost()

    with helper() as calls:
        return run(main)


def burst_trio(size: int) -> float:
    """The thread goes through ``run_sync_soon`` for each event."""
    burst = Burst(size)

    async def wait(event: TrioEvent) -> None:
        await event.wait()
        burst.woken()

    async def main() -> float:
        token = trio().lowlevel.current_trio_token()
        events = [trio().Event() for _ in range(size)]
        async with trio().open_nursery() as nursery:
            for event in events:
                nursery.start_soon(wait, event)
            await trio().sleep(PARKED)
            soon = token.run_sync_soon
            calls.put(partial(burst.settle, [partial(soon, each.set) for each in events]))
        return burst.cost()

    with helper() as calls:
        return run_trio(main)


def burst_floor(size: int) -> float:
    """Coroutines go through a queue to this thread, which resumes each."""
    burst = Burst(size)
    ready: SimpleQueue[Any] = SimpleQueue()

    async def wait() -> None:
        await bare_yield()
        burst.woken()

    tasks = deque((contextvars.copy_context(), wait()) for _ in range(size))
    for context, coro in tasks:
        context.run(coro.send, None)
    with helper() as calls:
        calls.put(partial(burst.settle, [partial(ready.put, task) for task in tasks]))
        for _ in range(size):
            context, coro = ready.get()
            with contextlib.suppress(StopIteration):
                context.run(coro.send, None)
    return burst.cost()


def _single(title: str, *, pinned: bool) -> Benchmark:
    return Benchmark(
        "A5",
        f"a thread wakes a sleeping loop's task, there and back, median, {title}",
        Unit("us", 1e-6),
        5_000,
        100,
        single_ours,
        (
            Side("floor", single_floor),
            Side("asyncio", partial(single_asyncio, run=run_asyncio)),
            Side("uvloop", partial(single_asyncio, run=run_uvloop), needs="uvloop"),
            Side("trio", single_trio, needs="trio"),
        ),
        (faster(2, "asyncio"),),
        child=True,
        pinned=pinned,
    )


BENCHMARKS = (
    _single("on one processor", pinned=True),
    _single("free", pinned=False),
    Benchmark(
        "A5",
        "a thread wakes 10 000 tasks in a burst",
        Unit("us per wake", 1e-6),
        10_000,
        200,
        burst_ours,
        (
            Side("floor", burst_floor),
            Side("asyncio", partial(burst_asyncio, run=run_asyncio)),
            Side("uvloop", partial(burst_asyncio, run=run_uvloop), needs="uvloop"),
            Side("trio", burst_trio, needs="trio"),
        ),
        (faster(8, "asyncio"),),
    ),
)
