"""For every backend, in every loop: awaiting a job gives what the contract promises.

Several cases share a test here: there is a pool for each, and loops times backends are many.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Future
from runtime.errors import CancellationError, CancelRequestedError, WorkerTimeoutError
from tests.unit.runtime.contract.jobs import fail, give
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.loops import ALL_LOOPS, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.workers import WorkerPool
    from tests.unit.runtime.contract.conftest import Held

pytestmark = ALL_LOOPS

VALUES: list[object] = [None, 0, "", (1, 2), {"a": [1]}, math.inf]
ERRORS = [
    ValueError("text", 1),
    OSError(2, "no such file", "name"),
    SystemExit(3),
    GeneratorExit("gone"),
    TimeoutError("of its own"),
    CancelRequestedError("of its own accord"),
    BaseExceptionGroup("group", [SystemExit(1), ValueError("in it")]),
]


def test_any_value_arrives(loop: Loop, pool: WorkerPool) -> None:
    """Also one that is there before somebody awaits it, and one that is awaited twice."""

    async def main() -> None:
        for value in VALUES:
            job = pool.spawn(give, args=(value,))
            async with loop.limit(GUARD):
                assert [await job, await job] == [value, value]

    loop.run(main)


def test_any_error_arrives_as_itself(loop: Loop, pool: WorkerPool) -> None:
    """It can be caught at the ``await``; the loop and the worker live on."""
    found: list[BaseException] = []

    async def main() -> object:
        for error in ERRORS:
            try:
                await pool.spawn(fail, args=(error,))
            except BaseException as caught:  # noqa: BLE001 - any error is the case
                found.append(caught)
        return await pool.spawn(give, args=("alive",))

    assert loop.run(main) == "alive"
    assert [(type(error), str(error)) for error in found] == [
        (type(error), str(error)) for error in ERRORS
    ]


def test_many_jobs_are_awaited_by_many_tasks_and_by_one(loop: Loop, pool: WorkerPool) -> None:
    """Each task is woken by its own; a join needs one ``await``."""
    got: dict[int, object] = {}

    async def wait(number: int) -> None:
        got[number] = await pool.spawn(give, args=(number,))

    async def main() -> list[object]:
        async with loop.group() as group:
            for number in range(40):
                group.start(wait, number)
        return await Future.all([pool.spawn(give, args=(number,)) for number in range(10)])

    assert loop.run(main) == list(range(10))
    assert got == {number: number for number in range(40)}


def test_jobs_that_were_stopped_are_ordinary_errors(
    loop: Loop, pool: WorkerPool, hold: Callable[..., Held]
) -> None:
    """No loop takes a cancelled job for a cancelled task, nor a job's limit for one of its own."""
    held = hold()
    assert held.handle.cancel()
    held.end()

    async def main() -> object:
        with pytest.raises(CancellationError, match="was cancelled") as caught:
            await held.futures[0]
        assert isinstance(caught.value, Exception)
        await loop.sleep(0)  # the task is not cancelled
        with pytest.raises(WorkerTimeoutError, match="timed out"):
            await pool.spawn(int, timeout=0.0)
        return await pool.spawn(give, args=("alive",))

    assert loop.run(main) == "alive"
