"""What all jobs of a pool share: numbers, deadlines, and what a forked child starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime.timers import shared_deadlines
from runtime.errors import ForkedError
from runtime.testing import CountingWaker, race
from runtime.workers import Outcome, WorkerPool, pool_core
from tests.unit.runtime.gates import nothing

if TYPE_CHECKING:
    from runtime.testing import ManualClock, ScriptedBackend


@pytest.mark.parametrize("free_threaded", [False, True])
def test_numbers_are_given_once_whoever_asks(
    monkeypatch: pytest.MonkeyPatch, free_threaded: bool
) -> None:
    """From many threads at once, with the GIL and without."""
    monkeypatch.setattr(pool_core, "FREE_THREADED", free_threaded)
    next_id = pool_core._new_counter()

    taken = race(*[lambda: [next_id() for _ in range(200)]] * 4)

    assert sorted(number for numbers in taken for number in numbers) == list(range(1, 801))


def test_pools_on_the_systems_clock_share_one_watcher() -> None:
    """One thread watches all deadlines of the process; a clock of one's own needs none."""
    first, second = WorkerPool(1, backend="inline"), WorkerPool(1, backend="inline")

    assert first._core.deadlines is second._core.deadlines is shared_deadlines()


def test_each_pool_on_a_clock_of_its_own_watches_that(
    scripted: WorkerPool, clock: ManualClock
) -> None:
    """Made when first needed, and then the same one."""
    assert scripted._core.deadlines is scripted._core.deadlines
    assert scripted._core.deadlines.clock is clock
    assert scripted._core.deadlines is not shared_deadlines()


def test_a_forked_child_gets_a_lock_that_nobody_holds(scripted: WorkerPool) -> None:
    """Another thread of the parent may have held the old one."""
    before = scripted._core.lock
    before.acquire()

    scripted._core.reset_after_fork()

    assert scripted._core.lock is not before
    assert scripted._core._deadlines is None
    before.release()


def test_a_forked_child_goes_on_counting_with_a_lock_that_nobody_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the GIL a thread of the parent may have been about to take a number."""
    monkeypatch.setattr(pool_core, "FREE_THREADED", True)
    core = WorkerPool(1, backend="inline")._core
    before = core.next_id
    assert isinstance(before, pool_core._LockedCounter)
    assert [before(), before()] == [1, 2]

    core.reset_after_fork()

    after = core.next_id
    assert isinstance(after, pool_core._LockedCounter)
    assert after._lock is not before._lock
    assert after() == 3


def test_a_job_of_the_parent_fails_in_the_child_and_wakes_nobody(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Who waits for it is in the parent; whoever looks here is told."""
    future, done = scripted.spawn(nothing, name="resize"), scripted.spawn(nothing)
    backend.run(done)
    waker = CountingWaker()
    future.poll(waker)

    future.lose_in_fork()
    done.lose_in_fork()

    with pytest.raises(ForkedError, match="worker 1 'resize' runs in the parent"):
        future.result()
    assert waker.count == 0
    assert future.handle.outcome is Outcome.NEVER_RAN
    assert done.exception() is None
