"""`WorkerPool`: counting, waiting, and the end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerFuture


# ---- looking ------------------------------------------------------------------------------


def test_statistics_count_every_job_where_it_is(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """One picture of one moment: each job is in exactly one place."""
    value, error, late, dropped = (
        scripted.spawn(func) for func in (nothing, fail, nothing, nothing)
    )
    expiring = scripted.spawn(nothing, timeout=1.0)
    running, queued = scripted.spawn(nothing), scripted.spawn(nothing)
    backend.run(value)
    backend.run(error)
    backend.start(late)
    backend.start(running)
    dropped.cancel()
    late.cancel()
    clock.advance(2.0)

    found = scripted.statistics()

    assert (found.backend, found.state, found.max_workers) == ("scripted", "open", 2)
    assert (found.queued, found.running, found.abandoned) == (1, 1, 1)
    assert found.abandoned_names == (("worker 3", 2.0),)
    assert (found.succeeded, found.failed, found.timed_out, found.cancelled) == (1, 1, 1, 2)
    assert found.done == 5
    assert scripted.get_active_count() == 2
    assert [handle.worker_id for handle in scripted.get_active_handles()] == [
        running.worker_id,
        queued.worker_id,
    ]
    assert error.exception() is not None
    assert expiring.exception() is not None


def fail() -> None:
    raise ValueError("of the job")


def test_statistics_are_a_frozen_copy(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """What was looked at does not change behind the reader's back."""
    before = scripted.statistics()
    backend.run(scripted.spawn(nothing))

    assert before.succeeded == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.succeeded = 5  # type: ignore[misc]  # refused, which is the point


def test_times_are_sampled_from_every_eighth_job(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """Failures count as well: they took their time like any other."""

    def work() -> None:
        clock.advance(2.0)
        if Worker.current().id == 16:
            raise ValueError("the sixteenth")

    futures = [scripted.spawn(work) for _ in range(16)]
    backend.run_all()

    found = scripted.statistics()
    assert futures[15].exception() is not None
    assert found.run_time.samples == 2
    assert (found.run_time.mean, found.run_time.maximum) == (2.0, 2.0)
    assert found.wait_time.mean == pytest.approx((14.0 + 30.0) / 2)


def test_a_job_never_started_before_it_was_spawned(pool: WorkerPool) -> None:
    """A slot goes by the end of its last job; the next one may have come after that."""
    futures = [pool.spawn(nothing) for _ in range(200)]

    for future in futures:
        future.result(GUARD)
        assert future.handle.started_at is not None
        assert future.handle.started_at >= future.handle.queued_at


def test_the_queued_count_is_right_after_everything_was_cancelled(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """What was taken out as a whole must not be counted as gone twice."""
    futures = [scripted.spawn(nothing) for _ in range(10)]
    scripted.cancel_all()

    fresh = [scripted.spawn(nothing) for _ in range(5)]

    assert scripted.statistics().queued == 5
    assert all(future.cancelled() for future in futures)
    assert backend.run_all() == 5
    assert [future.result() for future in fresh] == [None] * 5


def test_cancel_all_means_what_was_there_not_what_callbacks_add(scripted: WorkerPool) -> None:
    """A callback that tries again gets its new job."""
    again: list[WorkerFuture[None]] = []
    future = scripted.spawn(nothing)
    future.add_done_callback(lambda _: again.append(scripted.spawn(nothing)))

    assert scripted.cancel_all() == 1

    assert [job.done() for job in again] == [False]


def test_worker_ids_are_never_given_twice(scripted: WorkerPool) -> None:
    """Those that a program asks for are taken from the same row."""
    spawned = [scripted.spawn(nothing).worker_id for _ in range(3)]

    assert scripted.get_next_worker_id() not in spawned
    assert scripted.spawn(nothing).worker_id == 5


def test_a_pool_says_who_it_is() -> None:
    """For messages and debuggers."""
    pool = WorkerPool(3, backend="inline", name="images")
    before = repr(pool)
    pool.shutdown()

    assert before == "<WorkerPool 'images' open, 3 worker(s)>"
    assert repr(pool) == "<WorkerPool 'images' closed, 3 worker(s)>"


# ---- waiting ------------------------------------------------------------------------------


def test_wait_idle_waits_for_what_runs_and_what_waits(pool: WorkerPool) -> None:
    """And no longer: it is told when the last one ends."""
    gates = [Gate("x") for _ in range(4)]
    futures = [pool.spawn(gate) for gate in gates]

    assert pool.wait_idle(0.0) is False
    for gate in gates:
        gate.open()

    assert pool.wait_idle(GUARD) is True
    assert all(future.done() for future in futures)


def test_wait_idle_does_not_wait_for_abandoned_functions(pool: WorkerPool) -> None:
    """They may never return."""
    gate: Gate[str] = Gate()
    future = pool.spawn(gate)
    gate.wait_begun()
    future.cancel()

    assert pool.wait_idle(GUARD) is True

    gate.open()


def test_a_job_that_waits_for_idleness_does_not_wait_for_itself(pool: WorkerPool) -> None:
    """It would never come."""
    assert pool.spawn(pool.wait_idle).result(GUARD) is True
