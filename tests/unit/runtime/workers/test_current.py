"""`Worker.current`: what a job sees of itself."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.errors import CancelRequestedError, InvalidStateError
from runtime.workers import Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import CurrentJob


def test_it_knows_who_it_is(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """The same words as the handle outside."""
    future = scripted.spawn(lambda: repr(Worker.current()), name="resize")
    other = scripted.spawn(lambda: (Worker.current().id, Worker.current().name))
    backend.run_all()

    assert future.result() == "<CurrentJob 1 'resize'>"
    assert other.result() == (2, "worker-2")


def test_outside_of_a_job_there_is_none() -> None:
    """A clear error says where to call it."""
    with pytest.raises(InvalidStateError, match="outside of a job"):
        Worker.current()


def test_a_callback_after_the_job_is_no_part_of_it(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """It runs on the job's thread, and yet there is no job any more."""
    seen: list[BaseException] = []

    def look(_: object) -> None:
        try:
            Worker.current()
        except InvalidStateError as error:
            seen.append(error)

    future = scripted.spawn(lambda: 1)
    future.add_done_callback(look)
    backend.run(future)

    assert len(seen) == 1


def test_cancelled_and_check_follow_the_request(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Two ways to look: one asks, one raises."""
    seen: list[bool] = []

    def work() -> None:
        current = Worker.current()
        current.check()
        seen.append(current.cancelled)
        future.cancel()
        seen.append(current.cancelled)
        current.check()

    future = scripted.spawn(work)
    backend.run(future)

    assert seen == [False, True]
    assert future.handle.outcome is Outcome.STOPPED


def test_check_notices_a_deadline_before_the_watcher_does(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """A watcher that is late must not keep the job from stopping."""

    def work() -> None:
        assert future._options is not None
        assert future._options.timer is not None
        future._options.timer.cancel()
        clock.advance(2.0)
        Worker.current().check()

    future = scripted.spawn(work, timeout=1.0)
    backend.run(future)

    assert isinstance(future.exception(), TimeoutError)
    assert future.handle.outcome is Outcome.STOPPED


def test_the_request_is_no_exception_that_except_exception_catches(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Careless error handling must not keep the job alive."""

    def work() -> str:
        future.cancel()
        try:
            Worker.current().check()
        except Exception:  # noqa: BLE001 - the point of the test
            return "kept alive"
        return "not reached"

    future = scripted.spawn(work)
    backend.run(future)

    assert not issubclass(CancelRequestedError, Exception)
    assert future.handle.outcome is Outcome.STOPPED


def test_a_request_that_nobody_made_is_an_error_like_any_other(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The job failed with it; it was not stopped, for nobody had asked."""

    def work() -> None:
        raise CancelRequestedError("of my own accord")

    future = scripted.spawn(work)
    backend.run(future)

    assert isinstance(future.exception(), CancelRequestedError)
    assert future.handle.outcome is Outcome.FINISHED


def test_sleep_ends_at_once_when_cancelled() -> None:
    """A sleeper is told, it does not find out when it wakes."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        Worker.current().sleep(3600.0)

    with WorkerPool(1, max_abandoned=0) as pool:
        future = pool.spawn(work)
        assert begun.wait(GUARD)

        future.cancel()
        pool.spawn(nothing).result(GUARD)  # on the same thread: the sleeper has returned

    assert future.handle.outcome is Outcome.STOPPED


def test_sleep_goes_by_the_pools_clock(clock: ManualClock) -> None:
    """A test moves the clock, and the sleeper wakes."""
    slept: list[float] = []

    def work() -> None:
        slept.append(clock.now())
        Worker.current().sleep(60.0)
        slept.append(clock.now())

    with WorkerPool(1, clock=clock) as pool:
        future = pool.spawn(work)
        while not len(pool._core.deadlines):
            pool.wait_idle(0.001)
        clock.advance(60.0)
        future.result(GUARD)

    assert slept == [100.0, 160.0]


def test_sleep_of_nothing_and_of_nonsense(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """0 is a moment; NaN and negative spans are mistakes."""

    def work() -> None:
        with pytest.raises(ValueError, match="seconds"):
            Worker.current().sleep(math.nan)
        with pytest.raises(ValueError, match="seconds"):
            Worker.current().sleep(-1.0)

    future = scripted.spawn(work)
    backend.run(future)
    quick = WorkerPool(1, backend="inline").spawn(lambda: Worker.current().sleep(0.0))

    assert future.exception() is None
    assert quick.exception() is None


@pytest.mark.parametrize(
    ("timeout", "run_timeout", "expected"),
    [(None, None, math.inf), (10.0, None, 7.0), (None, 5.0, 4.0), (10.0, 5.0, 4.0)],
)
def test_remaining_is_what_the_earliest_limit_leaves(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    timeout: float | None,
    run_timeout: float | None,
    expected: float,
) -> None:
    """A job can decide what is still worth starting: two seconds queued, one second run."""

    def work() -> float:
        clock.advance(1.0)
        return Worker.current().remaining()

    future = scripted.spawn(work, timeout=timeout, run_timeout=run_timeout)
    clock.advance(2.0)
    backend.run(future)

    assert future.result() == expected


def test_remaining_is_never_negative(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """Past is past: nothing is left."""
    left: list[float] = []

    def work() -> None:
        clock.advance(5.0)
        left.append(Worker.current().remaining())

    backend.run(scripted.spawn(work, timeout=1.0))

    assert left == [0.0]


def test_nested_jobs_on_one_thread_each_see_themselves(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The inner one is on top while it runs, then the outer one is there again."""
    names: list[str] = []

    def inner() -> None:
        names.append(Worker.current().name)

    def outer() -> None:
        current: CurrentJob = Worker.current()
        names.append(current.name)
        backend.run(scripted.spawn(inner, name="inner"))
        names.append(Worker.current().name)

    backend.run(scripted.spawn(outer, name="outer"))

    assert names == ["outer", "inner", "outer"]
