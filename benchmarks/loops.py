"""The loops that are compared, each with its default settings."""

from __future__ import annotations

import asyncio
import functools
import importlib
from dataclasses import dataclass
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from benchmarks.model import OURS, Side
from runtime.async_runtime import Executor, sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
    from types import ModuleType

__all__ = (
    "LOOPS",
    "Loop",
    "TrioEvent",
    "bare_yield",
    "run_asyncio",
    "run_ours",
    "run_trio",
    "run_uvloop",
    "sides_of",
    "trio",
)

T = TypeVar("T")


class TrioEvent(Protocol):
    """What the benchmarks use of trio's ``Event``."""

    def set(self) -> None:
        """Wake whoever waits."""

    async def wait(self) -> None:
        """Wait until it is set."""


@functools.cache
def trio() -> ModuleType:
    """Return trio, which may be missing."""
    return importlib.import_module("trio")


def run_ours(main: Callable[[Executor], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(executor)`` on an executor of its own."""
    with Executor() as executor:
        return executor.run_until_complete(main(executor))


def run_asyncio(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on the standard library's loop."""
    return asyncio.run(main())


def run_uvloop(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on uvloop, from asyncio's front end."""
    loop_factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


def run_trio(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on trio."""
    result: T = trio().run(main)
    return result


@coroutine
def bare_yield() -> Generator[None, object, None]:
    """Give the turn away: the cheapest thing that a loop of coroutines can be asked for."""
    yield


@dataclass(frozen=True, slots=True)
class Loop:
    """What benchmarks that treat all loops alike need of each.

    Args:
        name: As in the tables.
        needs: The module that must be installed.
        run_all: Run coroutines side by side, each as a task, to the end of all.
        nap: Sleep for some seconds.
        give_way: Let the others run.
    """

    name: str
    needs: str | None
    run_all: Callable[[Sequence[Coroutine[Any, Any, None]]], None]
    nap: Callable[[float], Awaitable[Any]]
    give_way: Callable[[], Awaitable[Any]]


def _all_ours(coros: Sequence[Coroutine[Any, Any, None]]) -> None:
    async def main(executor: Executor) -> None:
        for handle in [executor.spawn(coro) for coro in coros]:
            await handle

    run_ours(main)


def _all_asyncio(
    coros: Sequence[Coroutine[Any, Any, None]], *, run: Callable[..., None] = run_asyncio
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for task in [loop.create_task(coro) for coro in coros]:
            await task

    run(main)


def _all_trio(coros: Sequence[Coroutine[Any, Any, None]]) -> None:
    async def run(coro: Coroutine[Any, Any, None]) -> None:
        await coro

    async def main() -> None:
        async with trio().open_nursery() as nursery:
            for coro in coros:
                nursery.start_soon(run, coro)

    run_trio(main)


def _nap_trio(seconds: float) -> Awaitable[Any]:
    return trio().sleep(seconds)  # type: ignore[no-any-return]  # trio has no types here


def _give_way_trio() -> Awaitable[Any]:
    return trio().lowlevel.checkpoint()  # type: ignore[no-any-return]  # as above


LOOPS = (
    Loop(OURS, None, _all_ours, sleep, bare_yield),
    Loop("asyncio", None, _all_asyncio, asyncio.sleep, bare_yield),
    Loop(
        "uvloop",
        "uvloop",
        functools.partial(_all_asyncio, run=run_uvloop),
        asyncio.sleep,
        bare_yield,
    ),
    Loop(
        "trio",
        "trio",
        _all_trio,
        _nap_trio,
        _give_way_trio,
    ),
)


def sides_of(measure: Callable[..., float], **options: object) -> tuple[Side, ...]:
    """Return the sides of a benchmark that calls ``measure(size, loop=..., **options)``."""
    return tuple(
        Side(loop.name, functools.partial(measure, loop=loop, **options), needs=loop.needs)
        for loop in LOOPS
    )
