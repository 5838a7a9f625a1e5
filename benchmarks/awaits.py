"""B7: ``await`` of a worker in loops that are not ours, alone and a thousand at once."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.hops import laps, nothing, run_in_executor, to_thread, with_anyio, with_trio
from benchmarks.loops import run_asyncio, run_trio, run_uvloop, trio
from benchmarks.model import Benchmark, Side, Unit, faster
from runtime.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ("BENCHMARKS",)

THREADS = os.cpu_count() or 4  # as many as our default pool has; the peers get the same
AT_ONCE = 1_000


# ---- one at a time ----------------------------------------------------------------------------


def ours(size: int, *, run: Callable[..., float]) -> float:
    """``await Worker.spawn(nothing)``; *run* chooses the loop."""

    async def main() -> float:
        return await laps(size, partial(Worker.spawn, nothing))

    return run(main)


# ---- many at once -----------------------------------------------------------------------------


async def bursts(size: int, burst: Callable[[], Awaitable[object]]) -> float:
    """Return the median cost of one of `AT_ONCE` trips that *burst* makes side by side."""
    await burst()  # the threads are there
    costs = []
    for _ in range(max(1, size // AT_ONCE)):
        begin = perf_counter()
        await burst()
        costs.append((perf_counter() - begin) / AT_ONCE)
    return median(costs)


def gathered(
    size: int, *, call: Callable[[], Awaitable[object]], run: Callable[..., float]
) -> float:
    """``asyncio.gather`` of what *call* gives, with a default executor of our size."""

    async def main() -> float:
        async def burst() -> None:
            await asyncio.gather(*[call() for _ in range(AT_ONCE)])

        with ThreadPoolExecutor(THREADS) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            return await bursts(size, burst)

    return run(main)


def spawn() -> Awaitable[None]:
    """Spawn a worker."""
    return Worker.spawn(nothing)


def in_executor() -> Awaitable[None]:
    """Have a call made by the default executor of the running loop."""
    return asyncio.get_running_loop().run_in_executor(None, nothing)


def in_thread() -> Awaitable[None]:
    """Have a call made by ``asyncio.to_thread``."""
    return asyncio.to_thread(nothing)


def all_spawned(size: int, *, run: Callable[..., float]) -> float:
    """One ``await`` of ``Worker.spawn_all``."""

    async def burst() -> None:
        await Worker.spawn_all([nothing] * AT_ONCE)

    return run(partial(bursts, size, burst))


async def awaited() -> None:
    """Spawn a worker and await it: what a task does."""
    await Worker.spawn(nothing)


def in_nursery(size: int, *, task: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """A trio nursery in which each task runs *task*."""

    async def burst() -> None:
        async with trio().open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(task)

    return run_trio(partial(bursts, size, burst))


def trio_threads(size: int) -> float:
    """A trio nursery of ``trio.to_thread.run_sync``, with as many threads as we have."""
    limiter = trio().CapacityLimiter(THREADS)
    return in_nursery(size, task=partial(trio().to_thread.run_sync, nothing, limiter=limiter))


def anyio_group(size: int, *, run: Callable[..., float]) -> float:
    """A task group of ``anyio.to_thread.run_sync``, with as many threads as we have."""
    anyio: Any = importlib.import_module("anyio")  # Any: it may be missing
    run_sync: Any = importlib.import_module("anyio.to_thread").run_sync  # Any: as above

    async def main() -> float:
        limiter = anyio.CapacityLimiter(THREADS)
        task = partial(run_sync, nothing, limiter=limiter)

        async def burst() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(AT_ONCE):
                    group.start_soon(task)

        return await bursts(size, burst)

    return run(main)


def _alone(
    title: str, run: Callable[..., float], others: tuple[Side, ...], *, pinned: bool
) -> Benchmark:
    where = "on one processor" if pinned else "free"
    return Benchmark(
        "B7",
        f"the same await from {title}, one at a time, {where}",
        Unit("us", 1e-6),
        5_000,
        50,
        partial(ours, run=run),
        others,
        (faster(1.3, others[0].name),),
        child=True,
        pinned=pinned,
        absent=_absent(title),
    )


def _at_once(title: str, subject: Callable[[int], float], others: tuple[Side, ...]) -> Benchmark:
    return Benchmark(
        "B7",
        f"{AT_ONCE} awaits from {title} side by side",
        Unit("us per await", 1e-6),
        20 * AT_ONCE,
        AT_ONCE,
        subject,
        others,
        child=True,
        absent=_absent(title),
    )


def _absent(title: str) -> Callable[[], str | None]:
    """Tell that the loop itself is not installed."""

    def absent() -> str | None:
        is_there = title == "asyncio" or importlib.util.find_spec(title) is not None
        return None if is_there else f"{title} is not installed"

    return absent


_ON_ASYNCIO = (
    Side("asyncio.to_thread", to_thread),
    Side("run_in_executor", run_in_executor),
    Side("anyio.to_thread", with_anyio, needs="anyio"),
)
_ON_UVLOOP = (
    Side("asyncio.to_thread", partial(to_thread, run=run_uvloop)),
    Side("run_in_executor", partial(run_in_executor, run=run_uvloop)),
    Side("anyio.to_thread", partial(with_anyio, run=run_uvloop), needs="anyio"),
)
_ON_TRIO = (
    Side("trio.to_thread", with_trio),
    Side("anyio.to_thread", partial(with_anyio, run=run_trio), needs="anyio"),
)
_ALONE = (
    ("asyncio", run_asyncio, _ON_ASYNCIO),
    ("uvloop", run_uvloop, _ON_UVLOOP),
    ("trio", run_trio, _ON_TRIO),
)

BENCHMARKS = (
    *(_alone(*each, pinned=pinned) for each in _ALONE for pinned in (True, False)),
    *(
        _at_once(
            title,
            partial(gathered, call=spawn, run=run),
            (
                Side("asyncio.to_thread", partial(gathered, call=in_thread, run=run)),
                Side("run_in_executor", partial(gathered, call=in_executor, run=run)),
                Side("anyio.to_thread", partial(anyio_group, run=run), needs="anyio"),
                Side("ours, spawn_all", partial(all_spawned, run=run)),
            ),
        )
        for title, run in (("asyncio", run_asyncio), ("uvloop", run_uvloop))
    ),
    _at_once(
        "trio",
        partial(in_nursery, task=awaited),
        (
            Side("trio.to_thread", trio_threads),
            Side("anyio.to_thread", partial(anyio_group, run=run_trio), needs="anyio"),
            Side("ours, spawn_all", partial(all_spawned, run=run_trio)),
        ),
    ),
)
