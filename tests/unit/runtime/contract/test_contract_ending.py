"""For every backend: limits, cancellation at every moment, groups, and the end of the pool."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from runtime.errors import CancellationError, PoolShutdownError, WorkerTimeoutError
from runtime.testing import race
from runtime.workers import HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.contract.colours import note, noted
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor, UnhandledError
    from runtime.workers.pool_backends import BackendChoice
    from tests.unit.runtime.contract.conftest import AnyGate, Held


def fail(*_: object) -> NoReturn:
    raise ValueError("of the job")


# ---- limits -------------------------------------------------------------------------------


def test_a_job_within_its_limits_is_not_touched(pool: WorkerPool) -> None:
    """Neither by the one nor by the other."""
    assert pool.spawn(lambda: "in time", timeout=60.0, run_timeout=60.0).result(GUARD) == "in time"


def test_a_job_without_any_time_never_runs(pool: WorkerPool) -> None:
    """Its limit has passed before it could begin."""
    calls: list[int] = []
    future = pool.spawn(calls.append, timeout=0.0, args=(1,))

    assert isinstance(future.exception(GUARD), WorkerTimeoutError)
    assert future.handle.outcome is Outcome.NEVER_RAN
    assert calls == []


@pytest.mark.parametrize("limit", ["timeout", "run_timeout"])
def test_a_limit_is_answered_while_the_function_runs(
    hold: Callable[..., Held], limit: str, pool: WorkerPool
) -> None:
    """Not when it returns: the function is still held when we read the outcome."""
    held = hold(**{limit: 0.02})

    error = held.handle.promise.future().exception(GUARD)

    assert isinstance(error, WorkerTimeoutError)
    assert held.handle.outcome is Outcome.ABANDONED
    assert pool.statistics().abandoned == 1
    assert pool.statistics().timed_out == 1
    held.end()


# ---- cancellation -------------------------------------------------------------------------


def test_cancel_while_running_is_answered_at_once(
    hold: Callable[..., Held], pool: WorkerPool
) -> None:
    """The reader is told, the function runs on, and everybody can see that it does."""
    held = hold()
    future = held.handle.promise.future()

    assert (held.handle.cancel(), held.handle.cancel()) == (True, False)

    assert isinstance(future.exception(GUARD), CancellationError)
    assert held.handle.outcome is Outcome.ABANDONED
    assert pool.statistics().abandoned_names[0][0] == held.handle._job.label
    held.end()
    assert held.handle.state is HandleState.CANCELLED
    assert pool.wait_idle(GUARD)


def test_cancel_from_ten_threads_succeeds_once(hold: Callable[..., Held], pool: WorkerPool) -> None:
    """Exactly one outcome, and nobody gets an exception."""
    held = hold()

    assert sorted(race(*[held.handle.cancel] * 10)) == [False] * 9 + [True]
    assert pool.statistics().cancelled == 1


def test_cancel_after_the_end_changes_nothing(pool: WorkerPool) -> None:
    """What is done is done."""
    future = pool.spawn(lambda: 5)
    future.result(GUARD)

    assert future.cancel() is False
    assert future.result() == 5


def sleep_for_long(gate: AnyGate) -> None:
    gate.tell_begun()
    Worker.current().sleep(3600.0)


def test_a_sleeping_job_wakes_when_it_is_cancelled(
    hold: Callable[..., Held], make_pool: Callable[..., WorkerPool]
) -> None:
    """And its outcome is that it stopped."""
    pool = make_pool(1, max_abandoned=0)
    held = hold(job=sleep_for_long, on=pool)

    assert held.handle.cancel() is True
    held.end()
    pool.spawn(nothing).result(GUARD)  # on the same worker: the sleeper has returned

    assert held.handle.state is HandleState.CANCELLED
    assert held.handle.outcome is Outcome.STOPPED


def test_cancel_all_counts_what_it_ends(hold: Callable[..., Held], pool: WorkerPool) -> None:
    """Every job that has no outcome, and no other."""
    pool.spawn(nothing).result(GUARD)
    hold()
    hold()

    assert (pool.cancel_all(), pool.cancel_all()) == (2, 0)
    assert pool.get_active_count() == 0


def test_a_job_settled_by_hand_is_over(hold: Callable[..., Held], pool: WorkerPool) -> None:
    """Whoever holds the handle may decide; the function's own result is dropped."""
    held = hold("of the function")

    assert held.handle.complete("by hand") is True
    during = held.handle.outcome
    held.end()

    assert during is Outcome.ABANDONED
    assert held.futures[0].result(GUARD) == "by hand"
    assert pool.statistics().succeeded == 1


# ---- many at once -------------------------------------------------------------------------


def test_spawn_all_gives_results_in_order(pool: WorkerPool, executor: Executor) -> None:
    """And nothing for nothing."""
    group = Worker.spawn_all([lambda i=i: i for i in range(10)], pool=pool)  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    assert executor.run_until_complete(group) == list(range(10))
    assert Worker.spawn_all([], pool=pool).result() == []


@pytest.mark.parametrize("position", [0, 1, 2])
def test_spawn_all_fails_with_its_first_failure(pool: WorkerPool, position: int) -> None:
    """Whichever position it has; the error names the job."""
    funcs: list[Callable[[], None]] = [nothing] * 3
    funcs[position] = fail

    error = Worker.spawn_all(funcs, pool=pool).exception(GUARD)

    assert isinstance(error, ValueError)
    assert "of spawn_all failed" in error.__notes__[0]


@pytest.mark.parametrize("ordered", [True, False])
def test_map_gives_every_result_once(pool: WorkerPool, ordered: bool) -> None:
    """In order, or as they come."""
    found = list(Worker.map(abs, range(-20, 0), chunksize=3, ordered=ordered, pool=pool))

    assert sorted(found) == list(range(1, 21))
    assert not ordered or found == list(range(20, 0, -1))


def test_map_raises_the_error_of_its_item(pool: WorkerPool) -> None:
    """After the results before it."""
    results = Worker.map(lambda number: 6 // number, [3, 2, 0], pool=pool)

    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


# ---- counting and reporting ---------------------------------------------------------------


def test_statistics_count_each_job_once(pool: WorkerPool) -> None:
    """By its outcome."""
    pool.spawn(nothing).result(GUARD)
    assert pool.spawn(fail).exception(GUARD) is not None
    assert pool.spawn(nothing, timeout=0.0).exception(GUARD) is not None

    found = pool.statistics()

    assert (found.succeeded, found.failed, found.timed_out, found.cancelled) == (1, 1, 1, 0)
    assert (found.done, found.queued, found.running, found.abandoned) == (3, 0, 0, 0)
    assert (found.state, found.max_workers) == ("open", 2)


def test_the_active_count_is_right_at_every_moment(
    hold: Callable[..., Held], pool: WorkerPool
) -> None:
    """One while it runs; none right after its result was read."""
    held = hold()
    during = pool.get_active_count()
    held.gate.open()
    held.handle.promise.future().result(GUARD)

    assert (during, pool.get_active_count()) == (1, 0)


def test_an_unread_failure_is_reported_once(
    pool: WorkerPool, reports: list[UnhandledError]
) -> None:
    """A read one never."""
    read = pool.spawn(fail)
    assert isinstance(read.exception(GUARD), ValueError)
    unread = pool.spawn(fail, name="unread")
    unread._wait(GUARD)  # not to read it
    del read, unread
    pool.shutdown(timeout=GUARD)
    gc.collect()

    assert [report.who for report in reports] == ["worker 2 'unread'"]


def test_a_callback_that_raises_stops_nobody(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    """Other callbacks run, the result stands, the next job runs."""
    called: list[int] = []
    future = pool.spawn(lambda: 1)
    future.add_done_callback(lambda _: fail())
    future.add_done_callback(lambda _: called.append(1))

    assert future.result(GUARD) == 1
    assert pool.spawn(lambda: 2).result(GUARD) == 2
    assert pool.shutdown(timeout=GUARD) is True
    assert called == [1]
    assert "of the job" in caplog.text


# ---- the end ------------------------------------------------------------------------------


def test_a_closed_pool_takes_nothing(pool: WorkerPool) -> None:
    """Twice shut down is shut down."""
    assert (pool.shutdown(), pool.shutdown()) == (True, True)

    with pytest.raises(PoolShutdownError):
        _ = pool.spawn(nothing)
    with pytest.raises(PoolShutdownError):
        Worker.map(abs, [1], pool=pool)
    with pytest.raises(PoolShutdownError):
        _ = Worker.spawn_all([nothing], pool=pool)
    assert (pool.is_shutdown(), pool.statistics().state) == (True, "closed")


def test_shutdown_waits_for_a_job_that_runs(hold: Callable[..., Held], pool: WorkerPool) -> None:
    """And says so where it does not."""
    held = hold()
    early = pool.shutdown(timeout=0.0)
    held.end()

    assert (early, pool.shutdown(timeout=GUARD)) == (False, True)


def test_wait_idle_waits_for_a_job_that_runs(hold: Callable[..., Held], pool: WorkerPool) -> None:
    """And says so where it does not."""
    held = hold()
    early = pool.wait_idle(0.0)
    held.end()

    assert (early, pool.wait_idle(GUARD)) == (False, True)


def test_an_initializer_that_raises_breaks_the_pool_by_name(choice: BackendChoice) -> None:
    """Every job fails with an error that says what was wrong; none hangs."""
    with WorkerPool(1, backend=choice, initializer=fail, initargs=(1,), name="images") as pool:
        for _ in range(2):
            try:
                error = pool.spawn(nothing).exception(GUARD)
            except RuntimeError as refusal:
                error = refusal
            assert "images is broken: its initializer raised ValueError" in str(error)


def test_an_initializer_runs_before_the_first_job(choice: BackendChoice) -> None:
    """With its arguments."""
    with WorkerPool(1, backend=choice, initializer=note, initargs=("ready",)) as pool:
        assert pool.spawn(noted).result(GUARD) == ["ready"]


# ---- memory -------------------------------------------------------------------------------


class Big:
    """Something whose end can be seen."""

    def __call__(self, *_: object) -> Big:
        return Big()


def test_nothing_keeps_a_function_a_value_or_an_argument(pool: WorkerPool) -> None:
    """Once their last reader is gone."""
    func, argument = Big(), Big()
    future = pool.spawn(func, args=(argument,))
    freed: list[weakref.ref[Any]] = [
        weakref.ref(one) for one in (func, argument, future.result(GUARD))
    ]

    del func, argument, future
    pool.shutdown(timeout=GUARD)
    gc.collect()

    assert [one() for one in freed] == [None] * 3


def test_nothing_keeps_the_error_of_a_job(pool: WorkerPool) -> None:
    """Nor what its frames hold."""
    big = Big()
    freed = weakref.ref(big)
    future = pool.spawn(fail, args=(big,))
    assert isinstance(future.exception(GUARD), ValueError)

    del big, future
    pool.shutdown(timeout=GUARD)
    gc.collect()

    assert freed() is None
