"""Every error that this package raises on purpose, and nothing else.

One base class; each error also is the builtin that a caller would catch
anyway; a class with facts builds the message itself and keeps the facts as
attributes; all of them survive pickle, because they may cross processes.
"""

from __future__ import annotations

import errno

from runtime.base_errors import BrokenPoolError, WorkerRuntimeError
from runtime.process_errors import (
    ProtocolError,
    QuarantinedJobError,
    RestartBudgetError,
    ResultRefusedError,
    ResultTooLargeError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerStartupError,
)
from runtime.remote_errors import RemoteError, RemoteTraceback

__all__ = (
    "AwaitCycleError",
    "BrokenPoolError",
    "BrokenPromiseError",
    "CancelRequestedError",
    "CancellationError",
    "DescriptorClosedError",
    "ExecutorClosedError",
    "ForkedError",
    "FutureTimeoutError",
    "InvalidPollError",
    "InvalidStateError",
    "PoolDeadlockError",
    "PoolShutdownError",
    "ProtocolError",
    "QuarantinedJobError",
    "RemoteError",
    "RemoteTraceback",
    "RestartBudgetError",
    "ResultRefusedError",
    "ResultTooLargeError",
    "TaskCancelledError",
    "UnpicklableError",
    "WorkerCrashedError",
    "WorkerRuntimeError",
    "WorkerStartError",
    "WorkerStartupError",
    "WorkerTimeoutError",
    "WouldBlockError",
    "WrongThreadError",
)


class InvalidStateError(WorkerRuntimeError, RuntimeError):
    """A call that the object's state forbids: a bug in the caller."""


class ExecutorClosedError(InvalidStateError):
    """A call that needs an open `Executor`, made after `close`."""


class PoolShutdownError(InvalidStateError):
    """A job was offered to a pool that takes no more jobs."""


class WrongThreadError(WorkerRuntimeError, RuntimeError):
    """An `Executor` was driven from a thread that it does not belong to."""


class WouldBlockError(WorkerRuntimeError, RuntimeError):
    """An `Executor` made with ``block=False`` would have had to wait."""


class InvalidPollError(WorkerRuntimeError, TypeError):
    """A ``poll`` gave something that is no `Poll`, or a coroutine yielded something foreign."""


class AwaitCycleError(WorkerRuntimeError, RuntimeError):
    """A task awaits itself, directly or through other tasks: it could never go on."""


class BrokenPromiseError(WorkerRuntimeError):
    """The `Promise` of the awaited future was dropped without being settled."""


class CancellationError(WorkerRuntimeError):
    """What somebody who waits for cancelled work gets: an ordinary error."""


class TaskCancelledError(CancellationError, InvalidStateError):
    """A cancelled task has no result: for those who await it, poll it, or ask for the result."""


class DescriptorClosedError(WorkerRuntimeError, OSError):
    """A descriptor that a task waited for is closed, so it will never be ready.

    Args:
        descriptor: Its number.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(
            errno.EBADF,
            f"descriptor {descriptor} was closed while a task waited for it: "
            "cancel the task first, or have it expect this error",
        )
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[type[DescriptorClosedError], tuple[int]]:
        return type(self), (self.descriptor,)


class CancelRequestedError(BaseException):
    """Raised *inside* the work that is asked to stop: let it pass after cleaning up.

    A task gets it at its ``await``, a job from ``Worker.current().check()``. It is
    no `Exception`, so that ``except Exception`` does not keep the work alive.

    Args:
        message: Who was asked to stop.
        reason: The scope that asked (a `timeout`, a `TaskGroup`); None for a plain `cancel`.
    """

    def __init__(self, message: str = "cancel requested", reason: object = None) -> None:
        super().__init__(message)
        self.reason = reason


class ForkedError(WorkerRuntimeError):
    """The job belongs to the parent process; this forked child can never see its result."""


class WorkerStartError(WorkerRuntimeError, RuntimeError):
    """The operating system or the interpreter refused another worker thread."""


class PoolDeadlockError(WorkerRuntimeError, RuntimeError):
    """Jobs of a pool wait for each other in a circle; the message tells the chain."""


class FutureTimeoutError(WorkerRuntimeError, TimeoutError):
    """A wait took longer than allowed; *timeout* is in seconds.

    Args:
        what: What was waited for, in a few words.
        timeout: The span that was allowed.
    """

    def __init__(self, what: str, timeout: float) -> None:
        super().__init__(
            f"{what} timed out (exceeded {timeout}s): give a longer timeout= or cancel the work"
        )
        self.what, self.timeout = what, timeout

    def __reduce__(self) -> tuple[type[FutureTimeoutError], tuple[str, float]]:
        return type(self), (self.what, self.timeout)


class WorkerTimeoutError(WorkerRuntimeError, TimeoutError):
    """The outcome of a job that passed its deadline; times are in seconds.

    Args:
        label: Who timed out, for instance ``worker 7 'resize'``.
        timeout: The span that was allowed.
        elapsed: What had passed when the deadline was noticed.
        since: What the span counts from: ``"spawn"`` or ``"start"``.
    """

    def __init__(self, label: str, timeout: float, elapsed: float, since: str = "spawn") -> None:
        super().__init__(
            f"{label} timed out (exceeded {timeout}s): {elapsed:.3f}s passed since {since}; "
            "give a longer timeout= or split the work"
        )
        self.label, self.timeout, self.elapsed, self.since = label, timeout, elapsed, since

    def __reduce__(self) -> tuple[type[WorkerTimeoutError], tuple[str, float, float, str]]:
        return type(self), (self.label, self.timeout, self.elapsed, self.since)
