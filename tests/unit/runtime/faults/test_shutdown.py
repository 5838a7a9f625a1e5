"""T6: shutdown from everywhere, twice, at once, and while others spawn."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from runtime.errors import CancellationError, PoolShutdownError
from runtime.testing import race
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import crew_of
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.workers.job import WorkerFuture


def test_twice_is_once() -> None:
    """Accepted work still ends; then there is nothing to do."""
    pool = WorkerPool(1)
    jobs = [pool.spawn(lambda i=i: i) for i in range(10)]

    assert pool.shutdown()
    assert pool.shutdown()

    assert [job.result(0) for job in jobs] == list(range(10))
    with pytest.raises(PoolShutdownError):
        pool.spawn(nothing)


@pytest.mark.usefixtures("eager_thread_switches")
def test_from_many_threads_at_once() -> None:
    """All return, and only when the workers have left."""
    for _ in range(10):
        pool = WorkerPool(2)
        jobs = [pool.spawn(lambda: 1) for _ in range(20)]

        assert race(*[pool.shutdown] * 5) == [True] * 5

        assert sum(job.result(0) for job in jobs) == 20


def test_from_a_job_and_from_a_callback_on_a_worker() -> None:
    """Neither waits for its own thread; what was accepted still runs."""
    pool = WorkerPool(1)
    gate: Gate[str] = Gate()
    answers: list[bool] = []
    first = pool.spawn(gate)
    first.add_done_callback(lambda _: answers.append(pool.shutdown()))
    second = pool.spawn(pool.shutdown)
    third = pool.spawn(lambda: "still runs")
    gate.open()

    assert second.result(GUARD) is False
    assert third.result(GUARD) == "still runs"
    assert answers == [False]
    assert pool.shutdown()


def test_without_waiting_it_returns_at_once_and_accepted_work_still_ends() -> None:
    """The workers leave by themselves."""
    pool = WorkerPool(1)
    gate: Gate[str] = Gate()
    job, later = pool.spawn(gate), pool.spawn(lambda: "later")

    assert not pool.shutdown(wait=False)
    gate.open()

    assert job.result(GUARD) == "through"
    assert later.result(GUARD) == "later"
    assert pool.shutdown(timeout=GUARD)


def test_an_error_in_the_block_cancels_what_waits() -> None:
    """And what runs still ends."""
    gate: Gate[str] = Gate()

    def fail() -> None:
        with WorkerPool(1) as pool:
            jobs.append(pool.spawn(gate))
            gate.wait_begun()
            jobs.append(pool.spawn(lambda: "never"))
            threading.Timer(0.01, gate.open).start()
            raise ValueError("in the block")

    jobs: list[WorkerFuture[str]] = []
    with pytest.raises(ValueError, match="in the block"):
        fail()

    assert jobs[0].result(0) == "through"
    with pytest.raises(CancellationError):
        jobs[1].result(0)


def test_a_dropped_pool_ends_its_jobs_and_lets_its_workers_go() -> None:
    """Nobody can shut it down any more."""
    pool = WorkerPool(1)
    crew, gone = crew_of(pool), weakref.ref(pool)
    gate: Gate[str] = Gate()
    job, later = pool.spawn(gate), pool.spawn(lambda: "later")
    gate.wait_begun()

    del pool
    gc.collect()
    assert gone() is None
    gate.open()

    assert job.result(GUARD) == "through"
    assert later.result(GUARD) == "later"
    assert crew.watchers.wait(lambda: not crew.slots, GUARD)


def test_a_dropped_pool_with_sleeping_workers_lets_them_go() -> None:
    """They sleep without a limit: somebody must wake them."""
    pool = WorkerPool(2)
    pool.spawn(nothing).result(GUARD)
    crew = crew_of(pool)
    assert pool.wait_idle(GUARD)

    del pool
    gc.collect()

    assert crew.watchers.wait(lambda: not crew.slots, GUARD)


def test_many_pools_one_after_the_other_leave_nothing() -> None:
    """Threads are used again, executors end: the numbers stay flat."""
    before = threading.active_count()

    for _ in range(50):
        with WorkerPool(3) as pool:
            assert [pool.spawn(lambda i=i: i).result(GUARD) for i in range(3)] == [0, 1, 2]

    assert threading.active_count() <= before + 4
