"""Circles of waits that go through loops, idleness, and the end of pools; and the way out."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import block_on
from runtime.errors import CancellationError, PoolDeadlockError
from runtime.workers import WorkerPool
from runtime.workers.handle_state import Outcome
from tests.unit.runtime.backends.inside import crew_of, wait_until_back
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.outcome import OutcomeFuture


def _directly(future: OutcomeFuture[Any]) -> object:  # Any: of whatever type
    return block_on(future)


def _in_a_coroutine(future: OutcomeFuture[Any]) -> object:  # Any: as above
    async def deeper() -> object:
        return await future

    async def main() -> object:
        return await deeper()

    return block_on(main())


@pytest.mark.parametrize("wait", [_directly, _in_a_coroutine])
def test_two_jobs_whose_loops_wait_for_each_other_are_told(
    wait: Callable[[OutcomeFuture[Any]], object],
) -> None:
    """What the loop drives is at the other job: nothing else can end it."""
    with WorkerPool(2) as pool:
        box: dict[str, Any] = {}  # Any: futures
        ready = threading.Event()

        def job(other: str) -> object:
            assert ready.wait(GUARD)
            return wait(box[other])

        box["a"] = pool.spawn(job, args=("b",))
        box["b"] = pool.spawn(job, args=("a",))
        ready.set()

        errors = [box[name].exception(GUARD) for name in "ab"]

        # Who is told leaves its loop, which cancels what that waited for.
        assert any(isinstance(error, PoolDeadlockError) for error in errors)
        assert all(isinstance(error, PoolDeadlockError | CancellationError) for error in errors)


def test_a_loop_that_waits_for_a_job_of_another_kind_is_left_alone() -> None:
    """Only a circle is refused."""
    with WorkerPool(2) as pool:
        inner = threading.Event()

        def outer() -> object:
            job = pool.spawn(lambda: inner.wait(GUARD))
            inner.set()
            return _in_a_coroutine(job)

        assert pool.spawn(outer).result(GUARD) is True


@pytest.mark.parametrize("limit", [None, GUARD])
def test_jobs_that_all_wait_for_idleness_do_not_wait_for_each_other(limit: float | None) -> None:
    """Nothing else is left that could end."""
    with WorkerPool(2) as pool:
        both = threading.Barrier(2)

        def job() -> bool:
            both.wait(GUARD)
            return pool.wait_idle(limit)

        jobs = [pool.spawn(job), pool.spawn(job)]

        assert [one.result(GUARD / 2) for one in jobs] == [True, True]


def test_who_stands_outside_waits_for_a_job_that_waits_for_idleness() -> None:
    """It has not ended, and goes on when the others have."""
    with WorkerPool(1) as pool:
        looked = threading.Event()
        done = threading.Event()

        def job() -> None:
            assert pool.wait_idle(GUARD)
            looked.set()
            assert done.wait(GUARD)

        pool.spawn(job)
        assert looked.wait(GUARD)

        assert pool.wait_idle(0) is False

        done.set()
        assert pool.wait_idle(GUARD)


@pytest.mark.parametrize("how", ["shutdown", "wait_idle"])
def test_two_pools_that_wait_for_each_others_end_are_told(how: str) -> None:
    """Each has a job that waits for the other."""
    first, second = WorkerPool(1, name="first"), WorkerPool(1, name="second")
    both = threading.Barrier(2)

    def job(other: WorkerPool) -> object:
        both.wait(GUARD)
        return getattr(other, how)()

    jobs = [first.spawn(job, args=(second,)), second.spawn(job, args=(first,))]
    errors = [one.exception(GUARD) for one in jobs]

    told = [error for error in errors if error is not None]
    assert len(told) >= 1
    assert all(isinstance(error, PoolDeadlockError) for error in told)
    assert "where worker 1 (spawned at " in str(told[0])
    assert first.shutdown()
    assert second.shutdown()


def test_after_a_refused_wait_a_job_can_be_interrupted_again() -> None:
    """It caught the error and went on: its window must be open."""
    with WorkerPool(1) as pool:
        box: list[Any] = []  # Any: futures
        ready = threading.Event()
        is_open: list[bool] = []

        def job() -> None:
            assert ready.wait(GUARD)
            with pytest.raises(PoolDeadlockError):
                box[0].result()
            (slot,) = crew_of(pool).slots
            assert slot.interrupts is not None
            is_open.append(slot.interrupts._job is slot.job)

        box.append(pool.spawn(job, interrupt=True))
        ready.set()

        assert box[0].exception(GUARD) is None
        assert is_open == [True]


def test_a_job_cancelled_during_a_wait_that_raises_is_asked_to_stop() -> None:
    """The request came while the window was shut."""
    with WorkerPool(1) as pool:
        caught: list[str] = []

        class SpoiltError(Exception):
            pass

        def block() -> bool:
            box[0].cancel()
            raise SpoiltError

        def job() -> None:
            assert ready.wait(GUARD)
            (slot,) = crew_of(pool).slots
            try:
                slot.wait(None, None, block)
            except BaseException as error:
                caught.append(type(error).__name__)
                raise

        ready = threading.Event()
        box = [pool.spawn(job, interrupt=True)]
        ready.set()
        wait_until_back(pool)

        assert caught == ["CancelRequestedError"]
        assert box[0].handle.outcome is Outcome.STOPPED
