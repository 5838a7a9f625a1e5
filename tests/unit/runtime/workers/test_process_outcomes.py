"""Jobs in processes: limits, cancellation at every moment, and what became of the function."""

from __future__ import annotations

import functools
import itertools
import os
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from runtime.errors import (
    CancellationError,
    PoolShutdownError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from runtime.workers import HandleState, Outcome, WorkerPool
from tests.unit.runtime.gates import GUARD, nothing
from tests.unit.runtime.workers.process_here import (
    busy,
    fail,
    sleep_for_long,
    suicide,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import UnhandledError
    from runtime.backends.process.backend import ProcessBackend
    from tests.unit.runtime.far_gates import FarGate

pytestmark = pytest.mark.process


# ---- ends ---------------------------------------------------------------------------------


def test_a_job_runs_elsewhere_and_its_value_comes_back(processes: WorkerPool) -> None:
    """That is the point of it."""
    future = processes.spawn(os.getpid)

    assert future.result(GUARD) != os.getpid()
    assert future.handle.outcome is Outcome.FINISHED
    assert processes.get_active_count() == 0


def test_the_count_is_zero_right_after_each_result(processes: WorkerPool) -> None:
    """Also where answers come in batches."""
    for _ in range(200):
        futures = [processes.spawn(nothing) for _ in range(3)]
        for future in futures:
            future.result(GUARD)
        assert processes.get_active_count() == 0


def test_what_a_job_raises_comes_with_its_frames(processes: WorkerPool) -> None:
    """They are what somebody looks for first."""
    error = processes.spawn(fail, args=(1,)).exception(GUARD)

    assert isinstance(error, ValueError)
    assert error.args == ("of the job", 1)
    assert "in fail" in str(error.__cause__)


def test_a_job_whose_process_dies_was_killed(new_processes: Callable[..., WorkerPool]) -> None:
    """The next one gets another process."""
    pool = new_processes()
    future = pool.spawn(suicide, name="suicide")

    error = future.exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert error.signal_name == "SIGKILL"
    assert "'suicide'" in str(error)
    assert future.handle.outcome is Outcome.KILLED
    assert pool.spawn(lambda: 5).result(GUARD) == 5
    assert pool.statistics().restarts == 1


# ---- limits -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["timeout", "run_timeout"])
def test_a_job_past_its_limit_is_stopped(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]], limit: str
) -> None:
    """The future is told at once, the function is asked, and it stopped."""
    processes.warm_up(GUARD)
    gate = far_gate()
    future = processes.spawn(  # type: ignore[call-overload]  # it is one of two
        functools.partial(sleep_for_long, gate),
        **{limit: 0.02},
    )

    assert isinstance(future.exception(GUARD), WorkerTimeoutError)
    processes.spawn(nothing).result(GUARD)  # in the same child: the function has ended
    assert future.handle.outcome is Outcome.STOPPED
    assert future.handle.state is HandleState.TIMED_OUT


def test_the_time_in_the_queue_is_no_time_of_the_run(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """``run_timeout`` counts from the start: a job that waits for long is not hurt by it."""
    gate = far_gate()
    first = processes.spawn(gate)
    gate.wait_begun()
    second = processes.spawn(nothing, run_timeout=5.0)
    state = second.handle.state
    gate.open()

    assert first.result(GUARD) == "through"
    assert second.result(GUARD) is None
    assert state is HandleState.PENDING


def test_an_endless_loop_is_killed_and_another_child_goes_on(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """What does not listen loses its process."""
    pool = new_processes(grace=0.0)
    gate = far_gate()
    future = pool.spawn(functools.partial(busy, gate))
    gate.wait_begun()

    assert future.cancel() is True

    assert pool.spawn(lambda: 1).result(GUARD) == 1
    assert future.handle.outcome is Outcome.KILLED
    assert pool.statistics().restarts == 0  # that was no crash


@pytest.mark.slow
def test_the_rungs_of_the_ladder_come_one_after_the_other(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Who ignores SIGTERM, too, is killed."""
    import signal  # noqa: PLC0415 - for the child

    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        busy(gate)

    gate = far_gate()
    pool = new_processes(grace=0.05)
    future = pool.spawn(deaf)
    gate.wait_begun()
    future.cancel()

    assert pool.spawn(lambda: 1).result(GUARD) == 1
    assert future.handle.outcome is Outcome.KILLED


# ---- cancellation -------------------------------------------------------------------------


def test_cancel_while_running_stops_a_job_that_listens(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Cancelled for the reader at once, stopped when the function has noticed."""
    gate = far_gate()
    future = processes.spawn(functools.partial(sleep_for_long, gate))
    gate.wait_begun()

    assert (future.cancel(), future.cancel()) == (True, False)
    with pytest.raises(CancellationError, match="cancelled"):
        future.result(GUARD)
    assert processes.spawn(nothing).result(GUARD) is None
    assert future.handle.outcome is Outcome.STOPPED


def test_interrupt_raises_in_a_loop_that_does_not_listen(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Without a kill: the child is the same before and after."""
    gate = far_gate()
    before = processes.spawn(os.getpid).result(GUARD)
    future = processes.spawn(functools.partial(busy, gate), interrupt=True)
    gate.wait_begun()
    begin = time.monotonic()

    future.cancel()

    assert processes.spawn(os.getpid).result(GUARD) == before
    assert future.handle.outcome is Outcome.STOPPED
    assert time.monotonic() - begin < GUARD


def test_a_job_that_waits_never_runs(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Not cancelled ones, nor those whose time is up."""
    gate, never = far_gate(), far_gate()
    first = processes.spawn(gate)
    gate.wait_begun()
    late = processes.spawn(never.tell_begun, timeout=0.0)
    cancelled = processes.spawn(never.tell_begun)

    assert cancelled.cancel() is True
    gate.open()
    first.result(GUARD)

    assert isinstance(late.exception(GUARD), WorkerTimeoutError)
    assert processes.spawn(nothing).result(GUARD) is None
    assert [one.handle.outcome for one in (late, cancelled)] == [Outcome.NEVER_RAN] * 2
    assert [one.handle.started_at for one in (late, cancelled)] == [None] * 2
    assert never.has_begun() is False


def _warm_with_short_jobs(pool: WorkerPool) -> None:
    """From now on jobs are taken to be short, and some are sent ahead; a slow one delays that."""
    fleet = cast("ProcessBackend", pool._backend)._fleet
    for done in itertools.count(1):
        pool.spawn(nothing).result(GUARD)
        (child,) = fleet.children.values()
        if done >= 5 and child.depth > 16:
            return


def test_a_job_that_was_sent_ahead_never_runs_once_it_is_cancelled(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """The child has it already: it is taken back, and the outcome tells the truth."""
    _warm_with_short_jobs(processes)
    gate, never = far_gate(), far_gate()
    first = processes.spawn(gate)
    gate.wait_begun()
    ahead = [processes.spawn(never.tell_begun) for _ in range(4)]
    assert ahead[0].slot is not None, "it is not in the child"

    assert [one.cancel() for one in ahead] == [True] * 4
    before = [one.handle.outcome for one in ahead]
    gate.open()
    first.result(GUARD)

    assert processes.spawn(lambda: 3).result(GUARD) == 3
    assert before == [one.handle.outcome for one in ahead] == [Outcome.NEVER_RAN] * 4
    assert never.has_begun() is False


def test_a_job_behind_a_long_one_gets_a_child_of_its_own(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Though it was sent ahead, while there was only one child: one more is allowed."""
    pool = new_processes(2)
    _warm_with_short_jobs(pool)
    gate = far_gate()
    first = pool.spawn(gate)
    gate.wait_begun()

    assert pool.spawn(lambda: "not late").result(GUARD) == "not late"
    gate.open()
    assert first.result(GUARD) == "through"


def test_what_was_sent_ahead_goes_to_another_child_when_its_own_dies(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """They had not begun: nothing of the crash is theirs."""

    def die() -> None:
        gate()
        suicide()

    pool = new_processes()
    _warm_with_short_jobs(pool)
    gate = far_gate()
    first = pool.spawn(die)
    gate.wait_begun()
    ahead = [pool.spawn(lambda i=i: i) for i in range(4)]
    gate.open()

    assert isinstance(first.exception(GUARD), WorkerCrashedError)
    assert [one.result(GUARD) for one in ahead] == [0, 1, 2, 3]


# ---- waiting and the end ------------------------------------------------------------------


def test_wait_idle_and_shutdown_wait_for_what_runs(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """And say so where they do not."""
    gate = far_gate()
    future = processes.spawn(gate)
    gate.wait_begun()
    early = processes.wait_idle(0.0), processes.shutdown(timeout=0.0)
    gate.open()

    assert early == (False, False)
    assert processes.wait_idle(GUARD) is True
    assert future.done()
    assert processes.shutdown(timeout=GUARD) is True
    with pytest.raises(PoolShutdownError):
        _ = processes.spawn(nothing)


def test_shutdown_cancels_what_waits_and_lets_the_rest_end(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Also what was sent ahead."""
    _warm_with_short_jobs(processes)
    gate = far_gate()
    first = processes.spawn(gate)
    gate.wait_begun()
    rest = [processes.spawn(nothing) for _ in range(3)]

    processes.shutdown(wait=False, cancel_pending=True)
    gate.open()

    assert first.result(GUARD) == "through"
    assert [one.cancelled() for one in rest] == [True] * 3
    assert processes.shutdown(timeout=GUARD) is True
    assert processes.statistics().workers == 0


def test_a_with_block_that_raises_cancels_what_waits(
    far_gate: Callable[..., FarGate[Any]],
) -> None:
    """And what runs ends."""
    gate = far_gate()

    def run() -> None:
        with WorkerPool(1, backend="process") as pool:
            first = pool.spawn(gate)
            gate.wait_begun()
            futures.extend([first, pool.spawn(nothing)])
            gate.open()
            raise KeyError("of the block")

    futures: list[Any] = []
    with pytest.raises(KeyError, match="of the block"):
        run()

    assert futures[0].result(0.0) == "through"
    assert futures[1].done()


def test_a_pool_that_is_dropped_ends_its_jobs_and_its_children(
    far_gate: Callable[..., FarGate[Any]],
) -> None:
    """The leak check of every test sees to the children."""
    gate = far_gate()
    pool = WorkerPool(1, backend="process")
    backend = pool._backend
    future = pool.spawn(gate)
    gate.wait_begun()

    del pool
    gate.open()

    assert future.result(GUARD) == "through"
    assert backend.join(GUARD) is True


def test_an_unread_error_is_reported(processes: WorkerPool, reports: list[UnhandledError]) -> None:
    """Once, with the place of the spawn; also where its process died."""
    processes.spawn(fail, name="unread")._wait(GUARD)
    processes.spawn(suicide, name="dead")._wait(GUARD)
    processes.shutdown(timeout=GUARD)

    assert [report.who for report in reports] == ["worker 1 'unread'", "worker 2 'dead'"]
