"""A future that is being driven: `Task` by hand, `TaskHandle` to look at one.

`Executor.spawn` does not make a `Task`: what it makes is at once the handle and all that the
loop needs (`driven.DrivenTask`), so that a spawned coroutine costs one object.
Source: async-runtime-spec.md, section 6; state-machines.md, section "Task".
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final, TypeVar, cast

from runtime.async_runtime.coroutines import CoroutineFuture, as_pollable
from runtime.async_runtime.failure import Failure, caught
from runtime.async_runtime.future import Future, cancel_loser, checked
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.task_state import TaskEvent, TaskState, next_state
from runtime.async_runtime.waker import NOOP, Waker
from runtime.errors import InvalidStateError, TaskCancelledError

if TYPE_CHECKING:
    from runtime.async_runtime.future import FutureLike, Pollable

__all__ = (
    "Task",
    "TaskHandle",
    "TaskId",
    "TaskLike",
    "TaskState",
    "new_task_id",
    "no_result",
    "reset_after_fork",
)

T = TypeVar("T")


class TaskId(int):
    """The number of a task: unique in the process, hashable, in order of creation or first use."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"TaskId({int(self)})"


_numbers: Final = itertools.count(1)
_numbers_lock = threading.Lock()  # guards _numbers: its next() is not atomic everywhere


def new_task_id() -> TaskId:
    """Return an id that was never given out before. Thread-safe."""
    with _numbers_lock:
        return TaskId(next(_numbers))


class TaskLike(Future[T]):
    """What every handle of a task can do. Made by `Executor.spawn`, or by `TaskHandle`."""

    __slots__ = ()

    def task_id(self) -> TaskId:
        """Return the task's unique number."""
        raise NotImplementedError

    @property
    def state(self) -> TaskState:
        """The state now; another thread may change it right after."""
        raise NotImplementedError

    def result(self) -> T:
        """Return the value of a completed task.

        Raises:
            InvalidStateError: "not completed" yet, or "cancelled" (a RuntimeError).
            BaseException: what the task failed with, a fresh copy.
        """
        raise NotImplementedError

    def error(self) -> BaseException | None:
        """Return a fresh copy of what the task failed with; None in every other state."""
        raise NotImplementedError

    def cancel(self) -> bool:
        """Ask the task to stop: True where it has not ended, also the second time."""
        raise NotImplementedError

    def is_completed(self) -> bool:
        """Tell whether the task has ended with a value."""
        return self.state is TaskState.COMPLETED

    def is_failed(self) -> bool:
        """Tell whether the task has ended with an error."""
        return self.state is TaskState.FAILED

    def is_cancelled(self) -> bool:
        """Tell whether the task has ended because of a cancellation."""
        return self.state is TaskState.CANCELLED

    def is_pending(self) -> bool:
        """Tell whether the task has not ended."""
        return self.state in (TaskState.PENDING, TaskState.RUNNING)


class Task(Future[T]):
    """Drive *future* by hand: `poll` until it is ready. Not thread-safe; see `TaskHandle`.

    Args:
        future: A future, or a coroutine (which needs a running executor to be polled in).
    """

    __slots__ = ("_failure", "_future", "_poll", "_state", "task_id")

    def __init__(self, future: FutureLike[T]) -> None:
        self.task_id = new_task_id()
        self._future: Pollable[T] | None = as_pollable(future)
        self._state = TaskState.PENDING  # written by _advance only
        self._poll: Poll[T] = PENDING
        self._failure: Failure | None = None

    @property
    def state(self) -> TaskState:
        """Where the task is."""
        return self._state

    def poll(self, waker: Waker = NOOP) -> Poll[T]:  # noqa: C901 - each state once
        """Poll the future once; after the end, give the same outcome again.

        Raises:
            InvalidStateError: the task was cancelled, or is polled from inside its own poll.
            BaseException: what the future failed with.
        """
        if self._state is TaskState.CANCELLED:
            raise no_result(self, self._state)
        if self._failure is not None:
            raise self._failure.view()
        if self._poll.is_ready():
            return self._poll
        self._advance(TaskEvent.POLL)
        try:
            polled = checked(cast("Pollable[T]", self._future).poll(waker), self._future)
        except BaseException as error:  # noqa: BLE001 - it is the outcome; raised below
            failure = caught(error)
        else:
            if polled.is_pending():
                self._advance(TaskEvent.SUSPEND)
            elif self._advance(TaskEvent.COMPLETE):
                self._future = None
                self._poll = polled
            return polled
        if self._advance(TaskEvent.FAIL):
            future, self._future = self._future, None
            if isinstance(future, CoroutineFuture):  # it had no executor, so it never ran
                future.cancel()
            self._failure = failure
        raise failure.view()

    def result(self) -> T:
        """Return the value; see `TaskLike.result`."""
        if self._failure is not None:
            raise self._failure.view()
        if self._state is TaskState.COMPLETED:
            return self._poll.unwrap()
        raise no_result(self, self._state)

    def error(self) -> BaseException | None:
        """Return a fresh copy of the error, or None; see `TaskLike.error`."""
        return None if self._failure is None else self._failure.view()

    def cancel(self) -> bool:
        """Never poll again; True where the task had not ended, also the second time.

        The future that it drives is cancelled too, where it can be.
        """
        if self._advance(TaskEvent.CANCEL):
            future, self._future = self._future, None
            cancel_loser(future)
        return self._state is TaskState.CANCELLED

    def is_completed(self) -> bool:
        """Tell whether the task has ended with a value."""
        return self._state is TaskState.COMPLETED

    def is_failed(self) -> bool:
        """Tell whether the task has ended with an error."""
        return self._state is TaskState.FAILED

    def is_cancelled(self) -> bool:
        """Tell whether the task was cancelled."""
        return self._state is TaskState.CANCELLED

    def is_pending(self) -> bool:
        """Tell whether the task has not ended."""
        return self._state in (TaskState.PENDING, TaskState.RUNNING)

    def _advance(self, event: TaskEvent) -> bool:
        after = next_state(self._state, event)
        if after is None:
            return False
        self._state = after
        return True

    def __repr__(self) -> str:
        return f"<Task {int(self.task_id)} {self._state.value}>"


class TaskHandle(TaskLike[T]):
    """What the spawner keeps of a task: look at it, await it, cancel it.

    `Executor.spawn` gives a handle of its own kind, which may be used from any thread.

    Args:
        task: The `Task` to look at; this handle is as little thread-safe as that.
    """

    if not TYPE_CHECKING:  # the tasks of an executor are handles too, without this slot
        __slots__ = ("_task",)

    def __init__(self, task: Task[T]) -> None:
        if not isinstance(task, Task):
            raise TypeError(f"TaskHandle looks at a Task, got {task!r}: pass Task(future)")
        self._task = task

    def task_id(self) -> TaskId:
        """Return the task's unique number."""
        return self._task.task_id

    @property
    def state(self) -> TaskState:
        """Where the task is."""
        return self._task.state

    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        """Poll the task; see `Task.poll`."""
        return self._task.poll(waker)

    def result(self) -> T:
        """Return the value of a completed task; see `TaskLike.result`."""
        return self._task.result()

    def error(self) -> BaseException | None:
        """Return a fresh copy of the error, or None."""
        return self._task.error()

    def cancel(self) -> bool:
        """Cancel the task; see `Task.cancel`."""
        return self._task.cancel()

    def __repr__(self) -> str:
        return f"<TaskHandle of {self._task!r}>"


def no_result(task: object, state: TaskState) -> InvalidStateError:
    """Return the error for asking a task that has no result."""
    if state is TaskState.CANCELLED:
        return TaskCancelledError(f"{task!r} was cancelled: it has no result")
    return InvalidStateError(f"{task!r} is not completed: await it, or ask again later")


def reset_after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _numbers_lock  # noqa: PLW0603 - see above
    _numbers_lock = threading.Lock()
