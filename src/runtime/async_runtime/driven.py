"""A task of an executor: what `Executor.spawn` makes, handle and loop entry in one object.

A task is its own waker: ``wake`` puts it in its executor's ready queue. It is settled by its
executor only; everybody else may wait for it, wake it and ask it to stop, from any thread.

How the loop resumes it: ``context.run(_resume.send, _arg)``. For a coroutine ``_resume`` is
the coroutine itself and ``_arg`` is None; for a future, ``_resume`` is the task, whose `send`
polls ``_arg``, the future. A request to stop replaces ``_resume``, so that the loop never has to
ask whether there is one.
Source: async-runtime-spec.md, section 6; ADR-002 (one object), ADR-004 (stopping).
"""

from __future__ import annotations

from sys import modules
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from runtime.async_runtime.cycles import check_await
from runtime.async_runtime.failure import Failure
from runtime.async_runtime.foreign import await_elsewhere, is_refusal
from runtime.async_runtime.foreign_waits import trio_checkpoint
from runtime.async_runtime.outcome import CANCELLED, ERROR, OPEN, VALUE, OutcomeFuture
from runtime.async_runtime.places import describe_place
from runtime.async_runtime.poll import PENDING
from runtime.async_runtime.running import running
from runtime.async_runtime.stopping import StopRequests
from runtime.async_runtime.task import (
    TaskHandle,
    TaskId,
    TaskLike,
    TaskState,
    new_task_id,
    no_result,
)
from runtime.async_runtime.waker import Waker
from runtime.clock import check_timeout
from runtime.errors import InvalidStateError, TaskCancelledError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Generator
    from types import CodeType, FrameType

    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.poll import Poll
    from runtime.async_runtime.waiters import Wakeable

__all__ = ("DrivenTask",)

T = TypeVar("T")

_STATES: Final = {
    VALUE: TaskState.COMPLETED,
    ERROR: TaskState.FAILED,
    CANCELLED: TaskState.CANCELLED,
}
_NOW: Final = 0.0  # the default timeout of result(): it need not be checked


if TYPE_CHECKING:  # to its users it is a TaskHandle (and registered as one, below)
    _Handle = TaskHandle
else:
    _Handle = TaskLike


class DrivenTask(OutcomeFuture[T], _Handle[T]):
    """One task of one executor. Thread-safe for its users; see `TaskLike`."""

    __slots__ = (
        "_arg",  # None for a coroutine, else the future; loop thread only
        "_awaiting",  # the task that this one awaits now; loop thread only
        "_code",  # with _instruction: where it was spawned
        "_context",
        "_executor",
        "_instruction",
        "_number",  # as _stop
        "_resume",  # see the module; replaced by any thread, by one store
        "_stop",  # made by _made
        "_woken",  # in the ready queue; cleared before the poll, so no wake is lost
    )

    def __init__(
        self,
        executor: Executor,
        coroutine: object,  # None: it drives `pollable`
        pollable: object,
        context: contextvars.Context,
        code: CodeType | None,
        instruction: int,
    ) -> None:
        self._outcome = OPEN
        self._waiters = None
        self._crowd = None
        self._executor = executor
        # Any: a coroutine, this task, a StopRequests; None at the end
        self._resume: Any = self if coroutine is None else coroutine
        self._arg: Any = pollable  # Any: a Pollable of any type
        self._context = context
        self._code = code
        self._instruction = instruction
        self._woken = True  # it is spawned into the ready queue
        self._awaiting: DrivenTask[Any] | None = None
        self._stop: StopRequests | None = None
        self._number: TaskId | None = None

    # ---- waker ----------------------------------------------------------------------------

    def wake(self) -> None:
        """Put the task in the ready queue, once; from any thread."""
        if not self._woken:
            self._woken = True
            executor = self._executor
            executor._ready.append(self)
            if executor._parker.armed:
                executor._parker.signal()

    def wake_by_ref(self) -> None:
        """Do the same as `wake`."""
        self.wake()

    def is_woken(self) -> bool:
        """Tell whether the task is in the ready queue."""
        return self._woken

    def reset(self) -> None:
        """Nothing to arm: the executor does that before each poll."""

    def clone(self) -> DrivenTask[T]:
        """Return the task: it is its own waker."""
        return self

    def send(self, pollable: Any) -> Any:  # noqa: ANN401 - a future of any type, and its Poll
        """Poll the future that this task drives: what ``send`` is for a coroutine."""
        return pollable.poll(self)

    # ---- handle ---------------------------------------------------------------------------

    def task_id(self) -> TaskId:
        """Return the task's unique number, given out when first asked for."""
        number = self._number
        if number is None:
            number = self._made("_number", new_task_id())
        return cast("TaskId", number)  # cast: from Any

    @property
    def state(self) -> TaskState:
        """The state now; another thread may change it right after."""
        outcome = self._outcome
        if outcome:
            return _STATES[outcome]
        return TaskState.RUNNING if self._executor._current is self else TaskState.PENDING

    @property
    def place(self) -> str:
        """Where the task was spawned: ``file:line in function``."""
        return describe_place(self._code, self._instruction)

    def result(self, timeout: float | None = _NOW) -> T:
        """Return the value of a completed task; by default without waiting.

        Args:
            timeout: Seconds to wait, from a thread that does not run the executor; None:
                without limit; 0: do not wait.

        Raises:
            InvalidStateError: "not completed" and *timeout* is 0; or "cancelled".
            TimeoutError: not completed in time.
            BaseException: what the task failed with, a fresh copy.
            TypeError, ValueError: *timeout* is no span of time.
        """
        if timeout is not _NOW:
            check_timeout("timeout", timeout)
        if not self._outcome:
            if timeout == 0:
                raise no_result(self, self.state)
            self._wait(timeout)
        return self._read()

    def error(self) -> BaseException | None:
        """Return a fresh copy of what the task failed with; None in every other state."""
        return self._failure().view() if self._outcome == ERROR else None

    def cancel(self) -> bool:
        """Ask the task to stop; True where it has not ended, also the second time.

        A coroutine gets `CancelRequestedError` at the ``await`` where it is; it may clean up,
        await while doing so, or go on. Calls until it sees that are one request. A task that has
        not run yet never will; one that drives a future is over, and cancels the future where that
        can be. These two end at once, if not called from a thread other than the executor's.
        """
        if not self._outcome and not self._executor._end_unstarted(self):
            self._request_stop(None)
        return self._outcome in (OPEN, CANCELLED)

    # ---- stopping -------------------------------------------------------------------------

    def _stop_requests(self) -> StopRequests:
        stop = self._stop
        if stop is None:
            stop = self._made("_stop", StopRequests(self._resume))
        return cast("StopRequests", stop)  # cast: from Any

    def _request_stop(self, reason: object, level: int = 0) -> None:
        """Line up one request and wake the task to see it. Thread-safe."""
        stop = self._stop_requests()
        if stop.add(reason, level):
            self._arm_stop(stop)

    def _raise_inside(self, error: BaseException) -> None:
        """Resume the coroutine with *error* at its ``await``. Loop thread only."""
        stop = self._stop_requests()
        stop.add_fault(error)
        self._arm_stop(stop)

    def _arm_stop(self, stop: StopRequests) -> None:
        if not self._outcome:
            self._resume = stop
            self.wake()

    def _withdraw_stop(self, reason: object) -> bool:
        """Take back a request that the task has not seen; False where it has."""
        return self._stop is not None and self._stop.withdraw(reason)

    @property
    def _level(self) -> int:
        """In how many shields the task is now."""
        return 0 if self._stop is None else self._stop.shields

    # ---- waiting --------------------------------------------------------------------------

    def __await__(self) -> Generator[Poll[Any], object, T]:
        if not self._outcome:
            if running.executor is None:
                return (yield from await_elsewhere(self))
            try:
                yield from self._until_ended()
            except (RuntimeError, TypeError) as error:
                if not is_refusal(error):
                    raise
        elif "trio" in modules and running.executor is None:
            yield from trio_checkpoint()  # wants a turn at each await
        if not self._outcome:  # as in the base class
            return (yield from await_elsewhere(self))
        return self._read()

    def _until_ended(self, *, check: bool = True) -> Generator[Poll[Any], object, None]:
        """Wait for the end, whichever it is; *check*: refuse to close a circle."""
        executor = running.executor
        current: DrivenTask[Any] = executor._current  # type: ignore[union-attr]  # it polls us
        if check or executor is not self._executor:
            check_await(self, current)
        self._subscribe(current)
        current._awaiting = self
        try:
            while not self._outcome:
                yield PENDING
        except BaseException:
            self._unsubscribe(current)
            raise
        finally:
            current._awaiting = None
            del current  # a traceback may keep this frame: it must not keep the task

    def _subscribe(self, waker: Wakeable) -> None:
        super()._subscribe(waker)
        nest = self._executor._nest
        if nest is not None and self._executor._is_mine():
            nest.require(self)  # what runs in there waits for this task, so it needs it

    def _check_blocking(self) -> None:
        super()._check_blocking()
        if self._executor._is_mine():
            raise InvalidStateError(
                f"waiting for {self!r} here would block the thread that runs it: await it instead"
            )

    def _failure(self) -> Failure:
        if self._outcome == CANCELLED:
            return Failure(TaskCancelledError(f"{self!r} was cancelled: it has no result"))
        return cast("Failure", self._value)

    def _spawned_at(self, frame: FrameType) -> None:
        """Say that *frame* spawned it, and not the helper of ours that did."""
        self._code, self._instruction = frame.f_code, frame.f_lasti

    @property
    def source(self) -> Any:  # noqa: ANN401 - what was given to spawn
        """The coroutine or future that is driven; None once it has ended."""
        if self._arg is not None:
            return self._arg
        resume = self._resume
        return resume.resume if isinstance(resume, StopRequests) else resume

    def __repr__(self) -> str:
        source = self.source
        if source is None:
            return f"<Task {int(self.task_id())} {self.state.value}>"
        name = getattr(source, "__qualname__", None) or type(source).__name__
        return f"<Task {int(self.task_id())} {name!r} {self.state.value}>"


Waker.register(DrivenTask)
TaskHandle.register(DrivenTask)
