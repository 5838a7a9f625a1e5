"""Every error: its builtin, its message, its facts, and its way through pickle."""

from __future__ import annotations

import pickle

import pytest

from runtime import errors
from runtime.errors import (
    CancellationError,
    CancelRequestedError,
    DescriptorClosedError,
    FutureTimeoutError,
    InvalidStateError,
    QuarantinedJobError,
    RemoteError,
    RemoteTraceback,
    RestartBudgetError,
    ResultRefusedError,
    ResultTooLargeError,
    TaskCancelledError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerRuntimeError,
    WorkerStartupError,
    WorkerTimeoutError,
)

BUILTINS = {
    "AwaitCycleError": RuntimeError,
    "BrokenPoolError": RuntimeError,
    "DescriptorClosedError": OSError,
    "ExecutorClosedError": RuntimeError,
    "FutureTimeoutError": TimeoutError,
    "InvalidPollError": TypeError,
    "InvalidStateError": RuntimeError,
    "PoolDeadlockError": RuntimeError,
    "PoolShutdownError": RuntimeError,
    "ProtocolError": RuntimeError,
    "QuarantinedJobError": RuntimeError,
    "RestartBudgetError": RuntimeError,
    "ResultRefusedError": TypeError,
    "ResultTooLargeError": ValueError,
    "TaskCancelledError": RuntimeError,
    "UnpicklableError": TypeError,
    "WorkerCrashedError": RuntimeError,
    "WorkerStartError": RuntimeError,
    "WorkerStartupError": RuntimeError,
    "WorkerTimeoutError": TimeoutError,
    "WouldBlockError": RuntimeError,
    "WrongThreadError": RuntimeError,
}
WITH_FACTS: list[BaseException] = [
    DescriptorClosedError(7),
    FutureTimeoutError("waiting", 2.5),
    WorkerTimeoutError("worker 7 'resize'", 1.0, 1.25),
    WorkerTimeoutError("worker 7 'resize'", 1.0, 1.25, "start"),
    QuarantinedJobError("worker 7 'resize'", 2, ["process 5 was killed by SIGSEGV"] * 2),
    RemoteError("worker 7", ["lib.Own", "builtins.Exception"], "text", remote_traceback="trace"),
    RemoteTraceback("Traceback ...", 5),
    RestartBudgetError("pool 'images'", 3, 10.0, [f"end {number}" for number in range(12)]),
    ResultRefusedError("worker 7", "what"),
    ResultTooLargeError("worker 7", 11, 10),
    UnpicklableError("worker 7", "what", path="func.lock", reason="reason", advice="advice"),
    WorkerCrashedError("worker 7", pid=5, exit_code=3, stack="stack", log_lines=["line"]),
    WorkerStartupError("pool 'images'", "its initializer raised", pid=5, remote_traceback="trace"),
]
FACTUAL = {type(error).__name__ for error in WITH_FACTS}


def test_all_is_sorted_and_complete() -> None:
    """Every error of the module is public."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert list(errors.__all__) == sorted(defined)


@pytest.mark.parametrize("name", errors.__all__)
def test_one_base_class(name: str) -> None:
    """All but the request to stop, which ``except Exception`` must not swallow."""
    kind = getattr(errors, name)

    assert issubclass(kind, WorkerRuntimeError) is (name != "CancelRequestedError")


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items())
def test_an_error_is_also_the_builtin_that_a_caller_would_catch(
    name: str, builtin: type[Exception]
) -> None:
    """Code that knows nothing of this package handles it."""
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize("error", WITH_FACTS, ids=str)
def test_facts_survive_pickle(error: BaseException) -> None:
    """They may cross processes."""
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in FACTUAL], ids=str)
def test_the_others_survive_pickle_too(name: str) -> None:
    """With their text."""
    copy = pickle.loads(pickle.dumps(getattr(errors, name)("what happened")))

    assert type(copy) is getattr(errors, name)
    assert str(copy) == "what happened"


def test_timeouts_say_what_was_exceeded() -> None:
    """The words that programs look for."""
    text = str(WorkerTimeoutError("worker 7 'resize'", 1.0, 1.25))

    assert "timed out (exceeded 1.0s)" in text
    assert "timeout" in text
    assert "1.250s passed since spawn" in text
    assert "timed out (exceeded 2s)" in str(FutureTimeoutError("waiting", 2))


def test_a_cancelled_task_is_a_cancellation_and_a_state_that_forbids() -> None:
    """Whoever awaits it catches the one, whoever asks for its result the other."""
    assert issubclass(TaskCancelledError, CancellationError)
    assert issubclass(TaskCancelledError, InvalidStateError)


def test_a_request_to_stop_knows_who_asked() -> None:
    """None for a plain cancel; `except Exception` does not hold it back."""
    reason = object()

    assert CancelRequestedError("stop", reason).reason is reason
    assert CancelRequestedError().reason is None
    assert not issubclass(CancelRequestedError, Exception)
