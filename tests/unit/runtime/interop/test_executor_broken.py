"""Where an executor's workers fail: the errors are the standard library's, and ours."""

from __future__ import annotations

import concurrent.futures
import copy
import os
import pickle
import threading
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import (
    BrokenPoolError,
    QuarantinedJobError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerStartupError,
)
from runtime.interop.broken import ThreadPoolBrokenError, translated
from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import (
    fail_with,
    give,
    raise_bad,
    set_variable,
    suicide,
    variable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.interop.concurrent import PoolExecutor

BROKEN = {"threads": BrokenThreadPool, "processes": BrokenProcessPool}


def test_an_initializer_that_raises_breaks_the_pool(
    new_executor: Callable[..., PoolExecutor], kind: str
) -> None:
    """What was taken fails, each with an error of its own; nothing more is taken."""
    executor = new_executor(1, initializer=raise_bad, initargs=(3,))
    futures = []
    for number in range(3):
        try:
            futures.append(executor.submit(give, number))
        except concurrent.futures.BrokenExecutor:
            break

    errors = [future.exception(GUARD) for future in futures]

    assert [isinstance(error, BROKEN[kind]) for error in errors] == [True] * len(futures)
    assert [isinstance(error, BrokenPoolError) for error in errors] == [True] * len(futures)
    assert len({id(error) for error in errors}) == len(errors) > 0
    assert "bad" in str(errors[0])
    with pytest.raises(BROKEN[kind], match="bad") as caught:
        executor.submit(give, 1)
    assert isinstance(caught.value, BrokenPoolError)
    executor.shutdown()


def test_the_initializer_runs_with_its_arguments(
    new_executor: Callable[..., PoolExecutor],
) -> None:
    """On each worker, before its first job."""
    executor = new_executor(1, initializer=set_variable, initargs=("set",))

    try:
        assert executor.submit(variable).result(GUARD) == "set"
    finally:
        os.environ.pop("VELA_TEST", None)


@pytest.mark.process
def test_a_process_that_dies_fails_its_job_alone() -> None:
    """As the standard library's error, with our facts; the others never know."""
    with ProcessExecutor(2) as executor:
        victims = [executor.submit(suicide) for _ in range(2)]
        others = [executor.submit(give, number) for number in range(20)]

        errors = [victim.exception(GUARD) for victim in victims]

        for error in errors:
            assert isinstance(error, BrokenProcessPool)
            assert isinstance(error, concurrent.futures.BrokenExecutor)
            assert isinstance(error, WorkerCrashedError)
            assert error.signal_name == "SIGKILL"
        assert errors[0] is not errors[1]
        assert [other.result(GUARD) for other in others] == list(range(20))
        assert executor.submit(give, 1).result(GUARD) == 1


@pytest.mark.process
def test_a_call_that_always_kills_is_refused_at_last() -> None:
    """By the future, and as a broken pool: programs that start anew go on doing that."""
    with ProcessExecutor(1) as executor:
        errors = [executor.submit(suicide).exception(GUARD) for _ in range(4)]

    assert isinstance(errors[-1], QuarantinedJobError)
    assert all(isinstance(error, BrokenProcessPool) for error in errors)


@pytest.mark.process
def test_an_initializer_that_ends_its_process_breaks_the_pool() -> None:
    """With our reason."""
    with ProcessExecutor(1, initializer=os._exit, initargs=(3,)) as executor:
        error = executor.submit(give, 1).exception(GUARD)

    assert isinstance(error, WorkerStartupError)
    assert isinstance(error, BrokenProcessPool)


@pytest.mark.process
@pytest.mark.parametrize("call", [(give, threading.Lock()), (threading.Lock,)])
def test_what_cannot_travel_fails_in_the_future(call: tuple[Any, ...]) -> None:
    """As in the standard library: ``submit`` itself does not raise. Arguments and results."""
    with ProcessExecutor(1) as executor:
        error = executor.submit(*call).exception(GUARD)

        assert isinstance(error, UnpicklableError)
        assert isinstance(error, (pickle.PicklingError, TypeError))
        assert isinstance(error, pickle.PicklingError)
        assert "lock" in str(error)
        assert executor.submit(give, 1).result(GUARD) == 1


def test_what_a_job_raises_is_not_taken_for_our_own_end() -> None:
    """A job that uses another pool may raise that pool's error."""
    with ThreadExecutor(1) as executor:
        for error in (BrokenPoolError("another"), WorkerCrashedError("w", pid=1, exit_code=1)):
            raised = executor.submit(fail_with, error).exception(GUARD)
            assert raised is error


def test_such_errors_can_be_copied_and_pickled() -> None:
    """They are logged, sent on, and kept like any other."""
    cause = KeyError("why")
    crash = WorkerCrashedError("worker 7", pid=12, exit_code=-9, log_lines=["last"])
    crash.__cause__ = cause
    crash.add_note("noted")

    error: Any = translated(crash, in_processes=True)  # Any: of both classes

    assert issubclass(type(error), BrokenProcessPool)
    assert (str(error), error.__cause__, error.__notes__) == (str(crash), cause, ["noted"])
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), twin.exit_code, twin.log_lines) == (str(crash), -9, ("last",))
    broken = translated(BrokenPoolError("initializer"), in_processes=False)
    assert type(broken) is ThreadPoolBrokenError
    assert type(pickle.loads(pickle.dumps(broken))) is ThreadPoolBrokenError
    plain = ValueError()
    assert translated(plain, in_processes=True) is plain
