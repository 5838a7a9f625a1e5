"""What a pool asks of its threads: taking jobs to the last moment, counting, ending."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import functools
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import PoolShutdownError
from runtime.testing import race
from runtime.workers import WorkerPool
from runtime.workers.handle_state import Outcome
from runtime.workers.job import WorkerFuture
from tests.unit.runtime.backends.inside import backend_of, crew_of, wait_until, wait_until_back
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.backends.base import JobSink


def test_a_job_pushed_just_before_the_close_runs() -> None:
    """Submit came first: the thread that is about to leave must see the job."""
    with WorkerPool(1) as pool:
        backend, crew = backend_of(pool), crew_of(pool)
        pool.spawn(nothing).result(GUARD)
        assert pool.wait_idle(GUARD)
        push = backend._push

        def push_and_close(job: JobSink) -> None:
            push(job)
            backend._push = push
            backend.close()
            wait_until(pool, lambda: not crew.slots)  # the thread was woken, ran it, and left

        backend._push = push_and_close
        assert pool.spawn(lambda: "runs").result(GUARD) == "runs"


def test_a_job_pushed_after_the_threads_have_left_is_refused() -> None:
    """Close came first: nobody would run it, so its spawner is told."""
    with WorkerPool(1) as pool:
        backend, crew = backend_of(pool), crew_of(pool)
        pool.spawn(nothing).result(GUARD)
        push = backend._push

        def close_and_push(job: JobSink) -> None:
            backend.close()
            wait_until(pool, lambda: not crew.slots)
            push(job)

        backend._push = close_and_push
        with pytest.raises(PoolShutdownError, match="is shut down and takes no more jobs"):
            pool.spawn(nothing)
        assert pool.statistics().queued == 0


def test_a_close_while_a_thread_is_being_started_for_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job runs or is refused, and nothing is left."""
    with WorkerPool(1) as pool:
        backend, crew = backend_of(pool), crew_of(pool)
        grow = crew.grow

        def grow_and_close(job: JobSink | None) -> None:
            grow(job)
            backend.close()

        monkeypatch.setattr(crew, "grow", grow_and_close)
        try:
            result: object = pool.spawn(lambda: "runs").result(GUARD)
        except PoolShutdownError as error:
            result = error
        assert result == "runs" or isinstance(result, PoolShutdownError)


@pytest.mark.usefixtures("eager_thread_switches")
def test_spawns_race_a_shutdown_and_each_one_runs_or_is_refused() -> None:
    """No third way, and no hang."""
    for _ in range(30):
        pool = WorkerPool(2)
        ran: list[int] = []

        def spawn(pool: WorkerPool = pool, ran: list[int] = ran) -> int:
            accepted = 0
            try:
                for number in range(20):
                    pool.spawn(ran.append, args=(number,))
                    accepted += 1
            except PoolShutdownError:
                pass
            return accepted

        accepted = race(spawn, spawn, spawn, functools.partial(pool.shutdown, wait=False))

        assert pool.shutdown()
        assert len(ran) == sum(accepted)


def test_the_counts_tell_what_is_where() -> None:
    """One moment, consistent: running, waiting, abandoned, sleeping."""
    with WorkerPool(2, max_abandoned=0) as pool:
        gates = [Gate("x") for _ in range(3)]
        jobs = [pool.spawn(gate, name="gate") for gate in gates]
        gates[0].wait_begun()
        gates[1].wait_begun()
        jobs[0].cancel()

        counts = backend_of(pool).counts()
        assert (counts.workers, counts.idle, counts.queued, counts.running) == (2, 0, 1, 1)
        assert [label for label, _ in counts.abandoned] == ["worker 1 'gate'"]
        assert counts.abandoned[0][1] >= 0
        assert counts.at_abandoned_cap
        assert pool.get_active_count() == 2

        for gate in gates:
            gate.open()
        wait_until_back(pool)
        after = backend_of(pool).counts()
        assert (after.idle, after.queued, after.running, after.abandoned) == (2, 0, 0, ())


def test_wait_idle_waits_for_what_runs_and_what_waits_but_not_for_the_abandoned() -> None:
    """And when it says so, every future is settled."""
    with WorkerPool(1) as pool:
        stuck, gate = Gate("stuck"), Gate("gate")
        abandoned = pool.spawn(stuck)
        stuck.wait_begun()
        abandoned.cancel()
        jobs: list[WorkerFuture[Any]] = [pool.spawn(gate), pool.spawn(nothing)]
        gate.wait_begun()

        assert not pool.wait_idle(0)
        gate.open()
        assert pool.wait_idle(GUARD)

        assert all(job.done() for job in jobs)
        assert abandoned.handle.outcome is Outcome.ABANDONED
        stuck.open()


def test_wait_idle_is_woken_by_the_cancellation_of_the_last_job_that_waits() -> None:
    """Nothing else changes then: no thread takes part."""
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate()
        running = pool.spawn(gate)
        gate.wait_begun()
        waiting = pool.spawn(nothing)
        looked = threading.Event()
        backend = backend_of(pool)
        idle: list[bool] = []

        def look(here: object) -> bool:
            answer = type(backend)._is_idle(backend, here)
            looked.set()
            return answer

        backend._is_idle = look  # type: ignore[method-assign]  # tells when it has looked
        waiter = threading.Thread(target=lambda: idle.append(pool.wait_idle(GUARD)))
        waiter.start()
        assert looked.wait(GUARD)
        running.cancel()
        waiting.cancel()
        waiter.join(GUARD)

        assert idle == [True]
        gate.open()


def test_wait_idle_serves_a_job_whose_spawn_was_cut_short() -> None:
    """A KeyboardInterrupt between the two steps of a spawn: in the queue, and nobody was woken.

    The pool takes such a job back, where no second interrupt keeps it from that.
    """
    with WorkerPool(1) as pool:
        backend, crew = backend_of(pool), crew_of(pool)
        pool.spawn(nothing).result(GUARD)
        wait_until(pool, lambda: len(crew.idle) == 1)
        push = backend._push

        def push_and_raise(job: JobSink) -> None:
            push(job)
            raise KeyboardInterrupt

        backend._push = push_and_raise
        ran = threading.Event()
        job: WorkerFuture[None] = WorkerFuture(
            pool._core, ran.set, None, copy_context(), None, 0, None
        )
        with pytest.raises(KeyboardInterrupt):
            backend.submit(job)
        backend._push = push

        assert pool.wait_idle(GUARD)
        assert ran.is_set()


def test_a_closed_pool_waits_for_queued_jobs_although_all_threads_are_abandoned() -> None:
    """Accepted is accepted: they run when a thread comes back, or are cancelled by who asked."""
    pool = WorkerPool(1, max_abandoned=0)
    stuck: Gate[str] = Gate()
    abandoned = pool.spawn(stuck)
    stuck.wait_begun()
    abandoned.cancel()
    waiting = pool.spawn(lambda: "in the end")

    assert not pool.shutdown(timeout=0)
    stuck.open()

    assert pool.shutdown(timeout=GUARD)
    assert waiting.result(0) == "in the end"


def test_a_closed_pool_does_not_wait_for_what_does_not_return() -> None:
    """Abandoned functions are named, not waited for."""
    pool = WorkerPool(1)
    stuck: Gate[str] = Gate()
    abandoned = pool.spawn(stuck)
    stuck.wait_begun()
    abandoned.cancel()

    assert pool.shutdown(timeout=GUARD)

    stuck.open()
    wait_until(pool, lambda: not crew_of(pool).slots)


def test_jobs_come_oldest_first() -> None:
    """Running ones, then those that wait."""
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate()
        jobs = [pool.spawn(gate)] + [pool.spawn(nothing) for _ in range(3)]
        gate.wait_begun()

        assert backend_of(pool).jobs() == jobs

        gate.open()
