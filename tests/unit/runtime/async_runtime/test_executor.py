"""Spawning, running, counting; each task in its own context."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; futures as users
# write them; any error is the case:
# ruff: noqa: ARG001

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Promise,
    TaskHandle,
    TaskState,
    sleep,
    yield_now,
)
from runtime.errors import (
    FutureTimeoutError,
    InvalidStateError,
)
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Generator


async def answer(value: int = 42) -> int:
    """Return *value* after one turn."""
    await yield_now()
    return value


def test_run_until_complete_drives_a_coroutine_a_future_and_a_handle(executor: Executor) -> None:
    """Everything that takes a future also takes a coroutine."""
    assert executor.run_until_complete(answer()) == 42
    assert executor.run_until_complete(Future.ready(1)) == 1
    assert executor.run_until_complete(executor.spawn(answer(2))) == 2


def test_spawn_gives_a_handle_that_can_be_awaited_and_asked(executor: Executor) -> None:
    """It is a TaskHandle and a future at once."""
    states: list[TaskState] = []

    async def main() -> int:
        handle = executor.spawn(answer())
        states.append(handle.state)
        value = await handle
        states.append(handle.state)
        return value + await handle

    handle = executor.spawn(main())
    assert isinstance(handle, TaskHandle)
    assert isinstance(handle, Future)
    with pytest.raises(RuntimeError, match="not completed"):
        handle.result()

    executor.run()

    assert states == [TaskState.PENDING, TaskState.COMPLETED]
    assert handle.result() == 84
    assert handle.poll().unwrap() == 84
    assert "completed" in repr(handle)


def test_spawn_takes_neither_values_nor_functions(executor: Executor) -> None:
    """The message says what to do; nothing is left behind."""
    for wrong in (3, answer, "text"):
        with pytest.raises(TypeError, match="expected a future"):
            executor.spawn(wrong)  # type: ignore[arg-type]  # the case
    assert executor.active_tasks() == 0


def test_spawn_takes_a_generator_based_coroutine(executor: Executor) -> None:
    """Old libraries and compiled code have them."""

    @coroutine
    def old() -> Generator[Any, Any, int]:
        yield
        return 3

    made: Any = old()
    assert executor.run_until_complete(made) == 3


def test_step_polls_at_most_one_task(executor: Executor) -> None:
    """And says whether it did."""
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    for number in range(3):
        executor.spawn(note(number))

    assert executor.step() is True
    assert order == [0]
    assert executor.step()
    assert executor.step()
    assert executor.step() is False
    assert order == [0, 1, 2]


def test_counts_of_tasks(executor: Executor) -> None:
    """Active are ready or waiting, or being polled."""
    promise: Promise[int] = Promise()
    seen: list[tuple[int, int, int]] = []

    def counts() -> tuple[int, int, int]:
        return executor.active_tasks(), executor.ready_tasks(), executor.waiting_tasks()

    async def main() -> None:
        seen.append(counts())
        await promise.future()

    executor.spawn(main())
    executor.spawn(promise.future())
    assert counts() == (2, 2, 0)
    executor.run_until_stalled()
    assert counts() == (2, 0, 2)
    promise.resolve(1)
    assert counts() == (2, 2, 0)
    executor.run()

    assert seen == [(2, 1, 0)]
    assert counts() == (0, 0, 0)
    assert "with 0 task(s)" in repr(executor)


def test_run_drives_until_no_task_is_left(executor: Executor, clock: ManualClock) -> None:
    """Those that are spawned meanwhile included."""
    done: list[float] = []

    async def child() -> None:
        await sleep(5)
        done.append(clock.now())

    async def parent() -> None:
        executor.spawn(child())

    executor.spawn(parent())
    executor.run()

    assert done == [5]


def test_run_with_a_limit_of_iterations(executor: Executor) -> None:
    """Counts polls, and may be continued."""
    polls = 0

    async def count() -> None:
        nonlocal polls
        while polls < 10:
            polls += 1
            await yield_now()

    executor.spawn(count())
    executor.run(0)
    assert polls == 0
    executor.run(4)
    assert polls == 4
    executor.run(max_iterations=100)
    assert polls == 10
    with pytest.raises(ValueError, match="max_iterations"):
        executor.run(-1)


def test_stop_ends_the_run_under_way_after_the_poll_under_way(executor: Executor) -> None:
    """Tasks keep their state; the next run goes on."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while turns < 10:
            turns += 1
            if turns == 5:
                executor.stop()
                executor.stop()
            await yield_now()

    executor.spawn(count())
    executor.run()
    assert turns == 5
    executor.run()
    assert turns == 10


def test_stop_before_a_run_does_nothing(executor: Executor) -> None:
    """Programs stop a runtime when they leave it, and come back to it later."""
    executor.stop()

    assert executor.run_until_complete(answer()) == 42


def test_stop_that_comes_as_a_run_is_leaving_does_not_stop_the_next_one(
    executor: Executor,
) -> None:
    """Another thread has seen the run under way, and acts when it is over."""
    executor._depth = 1
    executor.stop()
    executor._depth = 0

    assert executor.run_until_complete(answer()) == 42
    assert not executor.has_ready


def test_stop_during_run_until_complete_is_an_error_there(executor: Executor) -> None:
    """There is no result to give; a handle may be driven again."""

    async def main() -> int:
        executor.stop()
        await yield_now()
        return 1

    handle = executor.spawn(main())
    with pytest.raises(InvalidStateError, match=r"stop\(\) was called"):
        executor.run_until_complete(handle)
    assert executor.run_until_complete(handle) == 1


def test_stop_seen_by_run_until_stalled(executor: Executor) -> None:
    """It says so."""

    async def main() -> None:
        executor.stop()
        await yield_now()

    executor.spawn(main())
    assert executor.run_until_stalled() == "stopped"
    assert executor.run_until_stalled() == "stalled"


def test_timeout_of_run_until_complete(executor: Executor, clock: ManualClock) -> None:
    """On the executor's clock; what was given is cancelled, except a handle."""
    cleaned: list[str] = []

    async def slow(name: str) -> None:
        try:
            await sleep(100)
        finally:
            cleaned.append(name)

    with pytest.raises(FutureTimeoutError, match=r"timed out \(exceeded 3s\)"):
        executor.run_until_complete(slow("given"), timeout=3)
    assert clock.now() == 3
    handle = executor.spawn(slow("handle"))
    with pytest.raises(TimeoutError):
        executor.run_until_complete(handle, timeout=1)
    executor.run_until_stalled()

    assert cleaned == ["given"]
    assert handle.is_pending()
    executor.run()
    assert cleaned == ["given", "handle"]


def test_timeout_of_run_until_complete_while_tasks_are_busy(executor: Executor) -> None:
    """A loop that never sleeps still looks at the deadline."""
    clock = ManualClock()

    async def busy() -> None:
        while True:
            clock.advance(1)
            await yield_now()

    with Executor(clock=clock) as timed, pytest.raises(TimeoutError):
        timed.run_until_complete(busy(), timeout=50)
    assert 50 <= clock.now() <= 52
