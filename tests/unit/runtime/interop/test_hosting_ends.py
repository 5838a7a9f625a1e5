"""The ends of a hosted loop: it may be closed before its executor, after it, and in a task."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor, TaskState, sleep
from runtime.errors import CancellationError, InvalidStateError
from runtime.interop.hosting import HostedLoop
from tests.unit.runtime.interop.host_loops import GUARD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Theirs:
    """Work of asyncio that lasts, and that needs some rounds and a timer to clean up."""

    def __init__(self) -> None:
        self.cleaned: list[str] = []

    async def last(self) -> None:
        try:
            async for _ in self._numbers():
                await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            self.cleaned.append("task")

    async def _numbers(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            self.cleaned.append("generator")


@pytest.fixture
def theirs() -> Theirs:
    return Theirs()


def test_the_executor_may_be_closed_first(theirs: Theirs, caplog: pytest.LogCaptureFixture) -> None:
    """What runs cleans up; what was asked for later never begins; no descriptor is left."""
    executor = Executor()
    hosted = HostedLoop(executor)
    running = hosted.run(theirs.last())
    executor.run_until_complete(sleep(0.002), GUARD)
    executor.close()
    late = hosted.run(theirs.last())

    hosted.close()
    hosted.close()

    assert sorted(theirs.cleaned) == ["generator", "task"]
    assert running.cancelled()
    assert late.cancelled()
    assert "closed" in repr(hosted)
    caplog.clear()
    del running, late, hosted
    gc.collect()  # a warning of asyncio's would fail this
    assert not caplog.records


def test_a_loop_that_never_had_a_turn_can_be_closed_after_its_executor() -> None:
    """There is nothing to cancel, and descriptors to give back."""
    executor = Executor()
    with HostedLoop(executor) as hosted:
        executor.close()

    assert hosted.loop.is_closed()


def test_it_can_be_closed_in_a_task(theirs: Theirs) -> None:
    """By a plain block too; the executor goes on."""

    async def main() -> str:
        with HostedLoop(executor) as hosted:
            work = hosted.run(theirs.last())
            await sleep(0.002)
        with pytest.raises(CancellationError):
            await work
        assert hosted.loop.is_closed()
        await hosted.aclose()
        await sleep(0.001)
        return "on"

    with Executor() as executor:
        assert executor.run_until_complete(main(), GUARD) == "on"
        assert executor.active_tasks() == 0

    assert sorted(theirs.cleaned) == ["generator", "task"]


@pytest.mark.parametrize("plain", [True, False], ids=["with", "async with"])
def test_a_block_in_a_task_that_the_executor_ends_closes_it(theirs: Theirs, *, plain: bool) -> None:
    """There the task cannot await any more."""
    made: list[HostedLoop] = []

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            hosted = HostedLoop(executor)
            made.append(hosted)
            if plain:
                stack.enter_context(hosted)
            else:
                await stack.enter_async_context(hosted)
            hosted.run(theirs.last())
            await sleep(3600)

    executor = Executor()
    task = executor.spawn(main())
    executor.run_until_complete(sleep(0.002), GUARD)
    executor.close()

    assert task.state is TaskState.CANCELLED
    assert made[0].loop.is_closed()
    assert sorted(theirs.cleaned) == ["generator", "task"]


def test_a_turn_of_the_loop_cannot_close_it() -> None:
    """It would wait for itself; nor can a loop run inside of another one of asyncio's."""
    with Executor() as executor, HostedLoop(executor) as hosted:

        async def close() -> None:
            hosted.close()

        with pytest.raises(InvalidStateError, match="while a loop of asyncio runs"):
            executor.run_until_complete(hosted.run(close()), GUARD)
        with pytest.raises(InvalidStateError, match="while a loop of asyncio runs"):
            asyncio.run(close())
        assert executor.run_until_complete(hosted.run(asyncio.sleep(0, "on")), GUARD) == "on"


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_of_the_close_leaves_it_to_the_next_one(theirs: Theirs) -> None:
    """Where the executor is closed already, too."""
    executor = Executor()
    hosted = HostedLoop(executor)
    hosted.run(theirs.last())
    executor.run_until_complete(sleep(0.002), GUARD)
    executor.close()
    hosted.loop.call_soon(interrupt)

    with pytest.raises(KeyboardInterrupt):
        hosted.close()
    assert not hosted.loop.is_closed()
    hosted.close()

    assert hosted.loop.is_closed()
    assert sorted(theirs.cleaned) == ["generator", "task"]


def test_an_interrupt_of_the_close_in_a_task_leaves_the_loop_its_turns(theirs: Theirs) -> None:
    """The task ends by it; the loop goes on until somebody closes it."""

    async def main() -> None:
        hosted.loop.call_soon(interrupt)
        hosted.close()

    with Executor() as executor:
        hosted = HostedLoop(executor)
        hosted.run(theirs.last())
        executor.run_until_complete(sleep(0.002), GUARD)

        with pytest.raises(KeyboardInterrupt):
            executor.run_until_complete(main(), GUARD)

        assert executor.run_until_complete(hosted.run(asyncio.sleep(0, "on")), GUARD) == "on"
        hosted.close()
        assert hosted.loop.is_closed()
    assert sorted(theirs.cleaned) == ["generator", "task"]
