"""P2, P3, P13, P14, P16: processes that do not react, and what is done about them."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from runtime.errors import (
    QuarantinedJobError,
    RestartBudgetError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from tests.unit.runtime.faults.process_jobs import (
    die,
    double,
    hang,
    hang_stubbornly,
    idle_pid,
    is_alive,
    pid_in,
    spin_in_c,
    until,
)
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.workers import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.parametrize("how", ["pow", "re"])
def test_a_loop_in_c_that_holds_the_gil_is_answered_on_time_and_killed(
    pool: WorkerPool, tmp_path: Path, how: str
) -> None:
    """The one thing that no thread can be saved from."""
    mark = tmp_path / "pid"
    pool.warm_up(GUARD)
    begin = time.monotonic()
    job = pool.spawn(spin_in_c, args=(mark, how), timeout=0.2)

    error = job.exception(GUARD)

    assert isinstance(error, WorkerTimeoutError)
    assert time.monotonic() - begin < 2.0
    pid = pid_in(mark)
    until(lambda: not is_alive(pid), "it was not killed")
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_a_job_that_ignores_sigterm_is_killed(pool: WorkerPool, tmp_path: Path) -> None:
    """The ladder has one more rung, and cancelling waits for none of them."""
    mark = tmp_path / "pid"
    job = pool.spawn(hang_stubbornly, args=(mark,))
    pid = pid_in(mark)

    assert job.cancel()

    assert job.cancelled()
    until(lambda: not is_alive(pid), "it was not killed")
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4
    assert pool.statistics().restarts == 0  # it was killed on purpose: no crash


def test_a_process_stopped_with_a_job_is_answered_on_time_and_replaced(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """It reacts to nothing but SIGKILL."""
    mark = tmp_path / "pid"
    job = pool.spawn(hang, args=(mark,), timeout=0.3)
    pid = pid_in(mark)

    os.kill(pid, signal.SIGSTOP)

    assert isinstance(job.exception(GUARD), WorkerTimeoutError)
    until(lambda: not is_alive(pid), "it was not killed")
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_a_job_given_to_a_stopped_idle_process_times_out_and_the_next_one_runs(
    pool: WorkerPool,
) -> None:
    """The job was sent and cannot begin: to whoever waits that is the same."""
    pid = pool.spawn(os.getpid).result(GUARD)
    idle_pid(pool)
    os.kill(pid, signal.SIGSTOP)

    stuck = pool.spawn(double, args=(1,), timeout=0.2)

    assert isinstance(stuck.exception(GUARD), WorkerTimeoutError)
    assert pool.spawn(double, args=(2,), timeout=GUARD).result(GUARD) == 4


def test_a_stopped_idle_process_does_not_keep_a_pool_from_shutting_down(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to leave, does not, and is killed."""
    monkeypatch.setattr("runtime.backends.process.farewells._PATIENCE", 0.1)
    pid = pool.spawn(os.getpid).result(GUARD)
    idle_pid(pool)
    os.kill(pid, signal.SIGSTOP)

    assert pool.shutdown(timeout=GUARD)
    assert not is_alive(pid)


def test_without_grace_the_process_is_killed_at_once_and_no_other_job_pays(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Jobs that end as they are cancelled: whoever comes next is never hit by that signal."""
    pool = make_pool(1, grace=0, max_restarts=0)
    for number in range(60):
        victim = pool.spawn(time.sleep, args=(0.0005 * (number % 4),))
        until(lambda job=victim: job.done() or job.handle.started_at is not None)  # type: ignore[misc]  # a default
        victim.cancel()
        assert pool.spawn(double, args=(number,)).result(GUARD) == 2 * number


def test_a_pool_whose_processes_crash_all_the_time_is_broken_with_their_history(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """A named error instead of a machine that starts processes for ever."""
    pool = make_pool(1, max_restarts=2)
    crashes = [pool.spawn(die, args=(how,)) for how in ("exit", "kill", "abort")]
    waiting = pool.spawn(double, args=(1,))

    assert all(isinstance(job.exception(GUARD), WorkerCrashedError) for job in crashes)
    error = waiting.exception(GUARD)

    assert isinstance(error, RestartBudgetError)
    assert len(error.history) == 3
    assert "exited with status 7" in error.history[0]
    with pytest.raises(RestartBudgetError):
        pool.spawn(double, args=(1,)).result(GUARD)


def test_a_job_to_be_run_again_in_a_pool_that_is_broken_meanwhile_is_answered(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """There is no process for it any more, and there will be none."""
    pool = make_pool(1, max_restarts=0, retry_on_crash=1)

    job = pool.spawn(die, args=("kill",))
    error = job.exception(GUARD)

    assert isinstance(error, RestartBudgetError | WorkerCrashedError | QuarantinedJobError)
    assert pool.shutdown(timeout=GUARD)


def _die_once(mark: Path) -> str:
    if mark.exists():
        return "the second time"
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def test_a_job_is_run_again_where_that_is_allowed(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """By default it is not: it may have had effects."""
    pool = make_pool(1, retry_on_crash=1)

    assert pool.spawn(_die_once, args=(tmp_path / "mark",)).result(GUARD) == "the second time"


def test_a_job_that_kills_each_of_its_processes_is_refused_with_its_history(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """So that one poisonous call does not use up the restarts of all others."""
    pool = make_pool(1, retry_on_crash=2)

    error = pool.spawn(die, args=("kill",)).exception(GUARD)

    assert isinstance(error, QuarantinedJobError)
    assert len(error.history) == error.kills == 3
    with pytest.raises(QuarantinedJobError):
        pool.spawn(die, args=("kill",))
    assert pool.spawn(double, args=(1,)).result(GUARD) == 2


def test_the_result_of_a_job_that_timed_out_is_dropped(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """It comes late, changes nothing, and the process goes on to the next job."""
    pool = make_pool(1, grace=None)
    mark, gate = tmp_path / "pid", tmp_path / "gate"
    pool.warm_up(GUARD)
    late = pool.spawn(_wait_for, args=(mark, gate), timeout=0.1)
    behind = pool.spawn(os.getpid)
    pid = pid_in(mark)
    assert isinstance(late.exception(GUARD), WorkerTimeoutError)

    gate.touch()

    assert behind.result(GUARD) == pid
    assert isinstance(late.exception(0), WorkerTimeoutError)


def _wait_for(mark: Path, gate: Path) -> str:
    from tests.unit.runtime.faults.process_jobs import tell  # noqa: PLC0415 - in the worker

    tell(mark)
    until(gate.exists)
    return "late"


def test_a_wall_clock_that_jumps_expires_nothing(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits are on the monotonic clock, here and in the worker."""
    pool.warm_up(GUARD)
    monkeypatch.setattr(time, "time", lambda: 4e9)

    assert pool.spawn(double, args=(2,), timeout=GUARD).result(GUARD) == 4


def _hang_at_first(mark: Path) -> None:
    if not mark.exists():
        hang(mark)


def test_a_process_that_is_killed_while_it_starts_is_replaced(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """Nobody has done anything yet: nothing is lost."""
    pool = make_pool(1, initializer=_hang_at_first, initargs=(tmp_path / "pid",))
    job = pool.spawn(double, args=(2,))

    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)

    assert job.result(GUARD) == 4
