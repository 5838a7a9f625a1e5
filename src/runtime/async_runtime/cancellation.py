"""Scopes inside a task: a time limit, a shield against requests to stop.

A request to stop carries its *reason*: the scope that asked, or None for `TaskHandle.cancel`. A
scope turns only its own request into its own outcome, so nested limits, and a
limit beside an outer cancellation, can always be told apart.
Source: async-runtime-spec.md, section 7; ADR-004.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runtime.async_runtime.driven import DrivenTask
from runtime.async_runtime.running import running
from runtime.clock import check_timeout
from runtime.errors import CancelRequestedError, FutureTimeoutError, InvalidStateError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from runtime.async_runtime.timer_heap import Timer

__all__ = ("Shield", "Timeout", "current_task", "shield", "timeout")


def current_task() -> DrivenTask[Any]:
    """Return the task that runs this code.

    Raises:
        InvalidStateError: no executor of this thread is polling a task.
    """
    executor = running.executor
    task = None if executor is None else executor._current
    if not isinstance(task, DrivenTask):
        raise InvalidStateError(
            "no runtime executor is polling a task here: timeout(), shield(), TaskGroup and "
            "current_task() are for its tasks; run the coroutine with "
            "Executor().run_until_complete(...) or block_on(...), or use what the loop that "
            "drives it has for this (asyncio.timeout, trio.move_on_after, ...)"
        )
    return task


class Timeout:
    """A limit on the time that a block takes; see `timeout`."""

    __slots__ = ("_expired", "_level", "_seconds", "_task", "_timer", "_used")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = check_timeout("seconds", seconds)
        self._task: DrivenTask[Any] | None = None  # while the block runs
        self._level = 0  # in how many shields the block lies
        self._timer: Timer | None = None
        self._expired = False
        self._used = False

    @property
    def expired(self) -> bool:
        """Whether the limit has passed while the block ran."""
        return self._expired

    def deadline(self) -> float | None:
        """Return the point on the executor's clock, or None without a limit."""
        return None if self._timer is None else float(self._timer[0])

    def reschedule(self, seconds: float | None) -> None:
        """Count *seconds* anew from now; None takes the limit away.

        Raises:
            InvalidStateError: the block is not running, or the limit has passed.
            WrongThreadError: called from a thread other than the executor's.
        """
        if self._task is None or self._expired:
            raise InvalidStateError(
                "cannot reschedule a timeout outside of its block or after it has expired"
            )
        if not self._task._executor._is_mine():
            raise self._task._executor._wrong_thread()
        self._seconds = check_timeout("seconds", seconds)
        if self._timer is not None:
            self._timer.cancel()
        self._start(self._task)

    def _start(self, task: DrivenTask[Any]) -> None:
        self._timer = None
        if self._seconds is not None:
            self._timer = task._executor._add_timer_in(self._seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task._request_stop(self, self._level)

    async def __aenter__(self) -> Self:
        if self._used:
            raise InvalidStateError("a timeout is used once: make a new one for each block")
        self._used = True
        self._task = current_task()
        self._level = self._task._level
        self._start(self._task)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = cast("DrivenTask[Any]", self._task), None
        if self._timer is not None:
            self._timer.cancel()
        if not self._expired or task._withdraw_stop(self):
            return  # the block ended by itself before it saw the request
        del task  # the traceback keeps this frame: it must not keep the task
        if isinstance(error, CancelRequestedError) and error.reason is self:
            raise FutureTimeoutError("the block", cast("float", self._seconds)) from error


def timeout(seconds: float | None) -> Timeout:
    """Return an async context manager that limits its block to *seconds* (None: no limit).

    On expiry the task is asked to stop at its ``await`` (`CancelRequestedError`, so that
    ``finally`` blocks run), and the block raises `TimeoutError`. Nested limits and
    an outer `TaskHandle.cancel` keep their own meaning.

    Raises:
        ValueError: *seconds* is negative or NaN.
    """
    return Timeout(seconds)


class Shield:
    """A block in which the task sees no request to stop; see `shield`."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: DrivenTask[Any] | None = None  # while the block runs

    async def __aenter__(self) -> None:
        if self._task is not None:
            raise InvalidStateError("this shield is in use: make a new one for each block")
        self._task = current_task()
        self._task._stop_requests().shields += 1

    async def __aexit__(self, *_error: object) -> None:
        task, self._task = cast("DrivenTask[Any]", self._task), None
        stop = task._stop_requests()
        stop.shields -= 1
        if stop.is_due():
            task._arm_stop(stop)  # seen at the next await


def shield() -> Shield:
    """Return an async context manager for work that must not be cut off, such as cleaning up.

    Requests to stop from outside of the block, those of time limits included, wait until
    it ends; the task sees them at its next ``await``. A `timeout` or a `TaskGroup` inside of
    the block works as ever: give cleaning up a limit of its own.
    """
    return Shield()
