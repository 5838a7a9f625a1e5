"""Requests to stop that a task has not seen yet.

A request carries its *reason*, the scope that asked (a `timeout`, a `TaskGroup`; None for
`TaskHandle.cancel`), and the *level* of that scope: in how many shields it lies. A task sees a
request at an ``await`` that lies in no more shields than the scope: so a time limit set inside
of a shield works there, and everything from outside waits until the shield ends.
Source: async-runtime-spec.md, section 7; ADR-004.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.async_runtime.running import running
from runtime.errors import CancelRequestedError

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask

__all__ = ("StopRequests",)


class StopRequests:
    """What stands in a task's ``_resume`` while there is something to deliver.

    Made when the first request comes. The loop resumes the task through `send`.
    """

    # No reference to the task: a task that was stopped must be freed with its last user.
    __slots__ = ("_fault", "_requests", "delivered", "resume", "shields")

    def __init__(self, resume: object) -> None:
        self.resume: Any = resume  # what to put back  # Any: a coroutine, or a task that polls
        self.shields = 0  # how many shields the task is in; written by the task itself
        self.delivered = False  # whether one was raised in the task; written by the loop
        self._requests: list[tuple[object, int]] = []  # reason, level; atomic list calls only
        self._fault: BaseException | None = None  # an error of the loop's own; written by the loop

    def add(self, reason: object, level: int) -> bool:
        """Line up a request; True where the task may see it now. Thread-safe.

        A reason that waits already is not added again: who asks twice asks once.
        """
        if (reason, level) not in self._requests.copy():
            self._requests.append((reason, level))
        return level >= self.shields

    def add_fault(self, error: BaseException) -> None:
        """Raise *error* at the task's ``await``, whatever shields there are. Loop thread only."""
        self._fault = error

    def withdraw(self, reason: object) -> bool:
        """Take back a request that the task has not seen; False where it has."""
        for request in self._requests.copy():
            if request[0] is reason:
                try:
                    self._requests.remove(request)
                except ValueError:  # it has, just now
                    return False
                return True
        return False

    def is_due(self) -> bool:
        """Tell whether the task may see a request now."""
        return any(level >= self.shields for _, level in self._requests.copy())

    def send(self, arg: object) -> Any:  # noqa: ANN401 - what the loop gets
        """Resume the task with the next request, raised at its ``await``. Loop thread only."""
        task, resume = running.executor._current, self.resume  # type: ignore[union-attr]  # it runs
        task._resume = resume
        error = self._next(task)
        if error is None:  # withdrawn, or shielded meanwhile: an ordinary spurious poll
            return resume.send(arg)
        if self.is_due():  # one at each await
            task._arm_stop(self)
        del task
        errors, error = [error], None  # the traceback keeps this frame: it must not keep the error
        if arg is None:
            return resume.throw(errors.pop())
        raise errors.pop()

    def _next(self, task: DrivenTask[Any]) -> BaseException | None:
        """Return what to raise now, if anything."""
        fault, self._fault = self._fault, None
        if fault is not None:
            return fault
        for request in self._requests.copy():
            if request[1] >= self.shields:
                self._requests.remove(request)
                self.delivered = True
                return CancelRequestedError(f"{task!r} was asked to stop", request[0])
        return None
