"""Tasks driven by hand, their handles, and the table of their states."""

# Parts of a signature or a fixture that acts by being there; futures as users write them:
# ruff: noqa: ARG002, B008

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Poll,
    Promise,
    Task,
    TaskHandle,
    TaskId,
    Waker,
    yield_now,
)
from runtime.async_runtime.task_state import (
    TERMINAL,
    TRANSITIONS,
    TaskEvent,
    TaskState,
    next_state,
)
from runtime.errors import CancellationError, InvalidStateError

if TYPE_CHECKING:
    from runtime.testing import CountingWaker

PAIRS = list(itertools.product(TaskState, TaskEvent))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda one: one.value)
def test_every_pair_of_state_and_event_is_decided(state: TaskState, event: TaskEvent) -> None:
    """Late events are dropped, impossible ones raise, all others are in the table."""
    if state in TERMINAL:
        assert next_state(state, event) is None
    elif (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidStateError, match=f"cannot {event.value} a task that is"):
            next_state(state, event)


def test_every_state_is_reached_and_every_way_ends() -> None:
    """A state that nobody can reach, or leave, would be a mistake in the table."""
    reached = {TaskState.PENDING} | set(TRANSITIONS.values())
    left = {state for state, _ in TRANSITIONS}

    assert reached == set(TaskState)
    assert left == set(TaskState) - TERMINAL


def test_poll_until_ready_and_then_again(waker: CountingWaker) -> None:
    """After completion it gives the same result, without asking the future again."""
    promise: Promise[int] = Promise()
    task = Task(promise.future())
    assert task.state is TaskState.PENDING
    assert task.poll(waker).is_pending()
    assert task.is_pending()
    with pytest.raises(RuntimeError, match="not completed"):
        task.result()

    promise.resolve(3)

    assert [task.poll(waker).unwrap() for _ in range(2)] == [3, 3]
    assert task.result() == 3
    assert task.error() is None
    assert (task.is_completed(), task.is_failed(), task.is_pending()) == (True, False, False)
    assert task.cancel() is False


def test_a_failure_is_kept_and_raised_to_everybody() -> None:
    """Each gets a copy."""
    task: Task[int] = Task(Future.from_result(KeyError("k")))
    for _ in range(2):
        with pytest.raises(KeyError):
            task.poll()
    with pytest.raises(KeyError):
        task.result()

    assert isinstance(task.error(), KeyError)
    assert task.error() is not task.error()
    assert task.is_failed()
    assert task.cancel() is False


def test_cancel_is_true_also_the_second_time() -> None:
    """And a cancelled task cannot be polled."""
    promise: Promise[int] = Promise()
    task = Task(promise.future())

    assert task.cancel() is True
    assert task.cancel() is True

    assert task.is_cancelled()
    assert promise.is_completed()
    for ask in (task.poll, task.result):
        with pytest.raises(RuntimeError, match="cancelled"):
            ask()
    with pytest.raises(CancellationError):
        task.poll()
    assert task.error() is None


def test_cancel_of_a_coroutine_that_never_ran_closes_it() -> None:
    """Python would warn about it otherwise, and it could never run."""

    async def never() -> None:
        pytest.fail("ran")

    task = Task(never())

    assert task.cancel() is True


def test_poll_from_inside_its_own_poll_is_refused() -> None:
    """A future that polls its own task could recurse for ever."""

    class Recursive(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            return task.poll(waker)

    task: Task[int] = Task(Recursive())

    with pytest.raises(InvalidStateError, match="cannot poll a task that is running"):
        task.poll()
    assert task.is_failed()


def test_cancel_during_the_poll_stands() -> None:
    """The value that comes after it is dropped."""

    class Cancelling(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            assert task.state is TaskState.RUNNING
            assert task.cancel()
            return Poll.ready(1)

    task: Task[int] = Task(Cancelling())
    task.poll()

    assert task.is_cancelled()


def test_ids_are_unique_and_hashable(executor: Executor) -> None:
    """By hand and in an executor alike."""
    handles = [executor.spawn(Future.ready(1)) for _ in range(3)]
    numbers = [Task(Future.ready(1)).task_id, *(handle.task_id() for handle in handles)]

    assert len(set(numbers)) == 4
    assert handles[0].task_id() is handles[0].task_id()
    assert all(isinstance(number, TaskId) for number in numbers)
    assert repr(TaskId(3)) == "TaskId(3)"


def test_a_handle_looks_at_its_task() -> None:
    """All that the task says."""
    task = Task(Future.ready(1))
    handle = TaskHandle(task)
    assert handle.task_id() == task.task_id
    assert handle.is_pending()

    assert handle.poll().unwrap() == 1

    assert handle.result() == 1
    assert handle.error() is None
    assert handle.state is TaskState.COMPLETED
    assert (handle.is_completed(), handle.is_failed(), handle.is_cancelled()) == (
        True,
        False,
        False,
    )
    assert handle.cancel() is False
    assert "completed" in repr(handle)


def test_a_handle_needs_a_task() -> None:
    """A future is a mistake that should show early."""
    with pytest.raises(TypeError, match=r"Task\(future\)"):
        TaskHandle(Future.ready(1))  # type: ignore[arg-type]  # the case


def test_a_coroutine_needs_an_executor_to_be_polled_in(executor: Executor) -> None:
    """By hand it has no loop; inside of one it has."""

    async def answer() -> int:
        return 42

    outside = Task(answer())
    with pytest.raises(InvalidStateError, match="needs a running Executor"):
        outside.poll()

    async def main() -> int:
        task = Task(answer())
        while (polled := task.poll()).is_pending():
            await yield_now()
        return polled.unwrap()

    assert executor.run_until_complete(main()) == 42
