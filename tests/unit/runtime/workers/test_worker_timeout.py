"""Time limits: the cases that programs rely on, and when exactly a limit is answered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future
from runtime.errors import WorkerTimeoutError
from runtime.testing import CountingWaker
from runtime.workers import HandleState, Outcome, Worker
from tests.unit.runtime.gates import Gate, nothing

if TYPE_CHECKING:
    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerPool


def test_worker_completes_within_timeout(executor: Executor) -> None:
    """A limit that is not reached changes nothing."""
    assert executor.run_until_complete(Worker.spawn(lambda: "in time", timeout=60.0)) == "in time"


def test_worker_exceeds_timeout(executor: Executor) -> None:
    """It is answered while the function still runs: that ends only after we have caught it."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate, timeout=0.02)

    with pytest.raises(TimeoutError):
        executor.run_until_complete(future)

    assert future.handle.outcome in {Outcome.ABANDONED, Outcome.NEVER_RAN}
    gate.open()


def test_worker_very_short_timeout(executor: Executor) -> None:
    """A limit of no time at all is one: the job never runs."""
    ran: list[bool] = []

    with pytest.raises(TimeoutError):
        executor.run_until_complete(Worker.spawn(lambda: ran.append(True), timeout=0.0))

    assert ran == []


def test_worker_immediate_return_with_timeout(executor: Executor) -> None:
    """A job that is done leaves no deadline behind."""
    future = Worker.spawn(lambda: 7, timeout=1000.0)

    assert executor.run_until_complete(future) == 7
    assert future._options is not None
    assert future._options.timer is not None
    assert future._options.timer[2] is None


def test_several_different_timeouts(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """Each job has its own limit, whichever order they were spawned in."""
    late, early, never = (scripted.spawn(nothing, timeout=limit) for limit in (3.0, 1.0, None))

    clock.advance(1.0)
    first = [late.done(), early.done(), never.done()]
    clock.advance(2.0)
    second = [late.done(), early.done(), never.done()]
    backend.run(never)

    assert first == [False, True, False]
    assert second == [True, True, False]
    assert never.result() is None


@pytest.mark.parametrize("limit", [None, math.inf])
def test_worker_without_timeout(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend, limit: float | None
) -> None:
    """No limit means none, however long it takes; infinity says the same."""
    future = scripted.spawn(lambda: "at last", timeout=limit)
    clock.advance(1e9)

    backend.run(future)

    assert future.result() == "at last"


def test_timeout_error_message(scripted: WorkerPool, clock: ManualClock) -> None:
    """It says who, how long was allowed, how long it was, and what to do."""
    future = scripted.spawn(nothing, timeout=0.5, name="resize")
    clock.advance(0.75)

    with pytest.raises(TimeoutError, match=r"timed out \(exceeded 0.5s\)") as caught:
        future.result()

    assert str(caught.value) == (
        "worker 1 'resize' timed out (exceeded 0.5s): 0.750s passed since spawn; "
        "give a longer timeout= or split the work"
    )
    assert "timeout" in str(caught.value)


# ---- when a limit is answered -------------------------------------------------------------


def test_a_queued_job_expires_where_it_waits_and_never_runs(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """The limit counts from the spawn: a full pool is no excuse."""
    future = scripted.spawn(nothing, timeout=1.0)

    clock.advance(1.0)

    assert future.handle.state is HandleState.TIMED_OUT
    assert future.handle.outcome is Outcome.NEVER_RAN
    assert backend.queued == []


def test_expiry_while_running_wakes_the_waiting_task_at_once(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """The reference noticed it only when the work had ended."""
    waker = CountingWaker()
    seen: list[object] = []

    def work() -> None:
        clock.advance(1.0)
        seen.extend((waker.count, future.handle.outcome))

    future = scripted.spawn(work, timeout=1.0)
    assert future.poll(waker).is_pending()
    backend.run(future)

    assert seen == [1, Outcome.ABANDONED]
    assert future.handle.outcome is Outcome.FINISHED


def test_a_result_that_comes_after_the_limit_is_a_timeout(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """Also where the watcher was late: the limit is looked at before and after the run."""
    future = scripted.spawn(lambda: clock.advance_to(200.0), timeout=1.0)
    assert future._options is not None
    assert future._options.timer is not None
    future._options.timer.cancel()  # the watcher sleeps through it

    backend.run(future)

    assert isinstance(future.exception(), WorkerTimeoutError)
    assert future.handle.outcome is Outcome.FINISHED


def test_an_error_that_comes_after_the_limit_is_a_timeout(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """Whether it failed or not, nobody waited for it any more."""

    def late_failure() -> None:
        clock.advance(5.0)
        raise ValueError("too late to matter")

    future = scripted.spawn(late_failure, timeout=1.0)
    assert future._options is not None
    assert future._options.timer is not None
    future._options.timer.cancel()

    backend.run(future)

    assert isinstance(future.exception(), WorkerTimeoutError)


def test_a_job_started_past_its_limit_is_not_called(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """Also where the watcher was late: the function never sees the light."""
    calls: list[int] = []
    future = scripted.spawn(lambda: calls.append(1), timeout=1.0)
    assert future._options is not None
    assert future._options.timer is not None
    future._options.timer.cancel()
    clock.advance(2.0)

    backend.run(future)

    assert isinstance(future.exception(), WorkerTimeoutError)
    assert future.handle.outcome is Outcome.NEVER_RAN
    assert future.handle.started_at is None
    assert calls == []


def test_run_timeout_counts_from_the_start_of_the_run(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """The time in the queue is not the function's fault."""
    future = scripted.spawn(lambda: clock.advance(2.0), run_timeout=1.5, name="slow")
    clock.advance(50.0)
    waiting = future.done()

    backend.run(future)

    error = future.exception()
    assert waiting is False
    assert isinstance(error, WorkerTimeoutError)
    assert (error.timeout, error.since, error.elapsed) == (1.5, "start", 2.0)


@pytest.mark.parametrize(
    ("timeout", "run_timeout", "since"), [(10.0, 1.0, "start"), (1.0, 10.0, "spawn")]
)
def test_of_two_limits_the_earlier_one_counts(
    scripted: WorkerPool,
    clock: ManualClock,
    backend: ScriptedBackend,
    timeout: float,
    run_timeout: float,
    since: str,
) -> None:
    """And the error says which one it was."""
    future = scripted.spawn(lambda: clock.advance(1.0), timeout=timeout, run_timeout=run_timeout)

    backend.run(future)

    error = future.exception()
    assert isinstance(error, WorkerTimeoutError)
    assert error.since == since


@pytest.mark.parametrize("option", ["timeout", "run_timeout"])
@pytest.mark.parametrize(
    ("value", "error"), [(-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)]
)
def test_a_limit_that_makes_no_sense_is_refused_at_the_spawn(
    scripted: WorkerPool, backend: ScriptedBackend, option: str, value: Any, error: type[Exception]
) -> None:
    """Not later in a worker, where nobody sees which call it was."""
    with pytest.raises(error, match=option):
        _ = scripted.spawn(nothing, **{option: value})

    assert backend.queued == []


def test_expiry_and_completion_at_the_same_moment_give_one_outcome(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """The deadline is reached inside of the function: whoever comes first stands, once."""
    future = scripted.spawn(lambda: clock.advance(1.0), timeout=1.0)
    waker = CountingWaker()
    future.poll(waker)

    backend.run(future)

    assert waker.count == 1
    assert scripted.statistics().timed_out == 1
    assert scripted.statistics().done == 1


def test_future_timeout_cancels_the_job_it_gives_up_on(executor: Executor) -> None:
    """Nobody waits for it any more, so it gets the request to stop."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate)
    gate.wait_begun()

    with pytest.raises(TimeoutError):
        executor.run_until_complete(Future.timeout(future, 0.01))

    assert future.cancelled()
    gate.open()
