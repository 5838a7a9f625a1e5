"""`WorkerHandle`: what is known of a spawned job, step by step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Promise
from runtime.errors import CancellationError, InvalidStateError
from runtime.workers import HandleState, Outcome, Worker, WorkerHandle, job_record
from runtime.workers.handle_state import NEXT
from tests.unit.runtime.gates import nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerFuture, WorkerPool


def test_a_spawned_job_tells_who_and_where_it_is(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """All times are on the pool's clock, at the moment they stand for."""
    future = scripted.spawn(lambda: clock.advance(3.0), timeout=60.0, name="resize")
    handle = future.handle
    queued = (handle.state, handle.outcome, handle.started_at, handle.ended_at, handle.elapsed())
    clock.advance(2.0)
    backend.start(future)
    running = (handle.state, handle.outcome, handle.started_at, handle.ended_at, handle.elapsed())
    backend.run(future)

    assert (handle.worker_id, handle.name, handle.timeout) == (1, "resize", 60.0)
    assert queued == (HandleState.PENDING, None, None, None, 0.0)
    assert running == (HandleState.RUNNING, None, 102.0, None, 2.0)
    assert (handle.state, handle.outcome) == (HandleState.SUCCEEDED, Outcome.FINISHED)
    assert (handle.start_time, handle.queued_at) == (100.0, 100.0)
    assert (handle.started_at, handle.ended_at, handle.elapsed()) == (102.0, 105.0, 5.0)
    assert "test_worker_handle.py" in handle.place


def test_the_default_name_is_made_of_the_number(scripted: WorkerPool) -> None:
    """Programs match on it."""
    assert scripted.spawn(nothing).handle.name == "worker-1"


def run_to_value(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    backend.run(future)


def cancel_queued(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    future.cancel()


def cancel_running(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    backend.start(future)
    future.cancel()


def cancel_then_end(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    cancel_running(future, backend)
    backend.run(future)


def fail_by_hand(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    future.handle.fail(ValueError("by hand"))


def crash(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    backend.crash(future)


def cancel_then_crash(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    cancel_running(future, backend)
    backend.crash(future)


def complete_while_running(future: WorkerFuture[Any], backend: ScriptedBackend) -> None:
    backend.start(future)
    future.handle.complete("by hand")


@pytest.mark.parametrize(
    ("steps", "state", "outcome", "completed", "cancelled"),
    [
        (run_to_value, HandleState.SUCCEEDED, Outcome.FINISHED, True, False),
        (cancel_queued, HandleState.CANCELLED, Outcome.NEVER_RAN, False, True),
        (cancel_running, HandleState.CANCELLED, Outcome.ABANDONED, False, True),
        (cancel_then_end, HandleState.CANCELLED, Outcome.FINISHED, False, True),
        (fail_by_hand, HandleState.FAILED, Outcome.NEVER_RAN, True, False),
        (crash, HandleState.FAILED, Outcome.KILLED, True, False),
        (cancel_then_crash, HandleState.CANCELLED, Outcome.KILLED, False, True),
        (complete_while_running, HandleState.SUCCEEDED, Outcome.ABANDONED, True, False),
    ],
)
def test_the_outcome_tells_the_truth(  # noqa: PLR0913, PLR0917 - the columns of a table
    scripted: WorkerPool,
    backend: ScriptedBackend,
    steps: Callable[[WorkerFuture[Any], ScriptedBackend], None],
    state: HandleState,
    outcome: Outcome,
    completed: bool,
    cancelled: bool,
) -> None:
    """What the reader is told and what the function did are two things, each true."""
    future = scripted.spawn(nothing)

    steps(future, backend)

    handle = future.handle
    assert (handle.state, handle.outcome) == (state, outcome)
    assert (handle.completed, handle.is_completed()) == (completed, completed)
    assert (handle.cancelled, handle.is_cancelled()) == (cancelled, cancelled)


def test_elapsed_ends_with_the_function_not_with_the_outcome(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """A cancelled job that runs on still takes time."""
    future = scripted.spawn(lambda: clock.advance(4.0))
    backend.start(future)
    future.cancel()
    clock.advance(1.0)

    backend.run(future)
    clock.advance(10.0)

    assert future.handle.elapsed() == 5.0


def test_is_timeout_while_open_and_afterwards(
    scripted: WorkerPool, clock: ManualClock, backend: ScriptedBackend
) -> None:
    """Past the limit is timed out, whether somebody has noticed or not; done in time is not."""
    late, quick = scripted.spawn(nothing, timeout=1.0), scripted.spawn(nothing, timeout=1.0)
    unlimited = scripted.spawn(nothing)
    backend.run(quick)
    before = late.handle.is_timeout()
    assert late._options is not None
    assert late._options.timer is not None
    late._options.timer.cancel()

    clock.advance(1.0)
    unnoticed = late.handle.is_timeout()
    late.expire()

    assert (before, unnoticed, late.handle.is_timeout()) == (False, True, True)
    assert (quick.handle.is_timeout(), unlimited.handle.is_timeout()) == (False, False)


def test_progress_is_what_the_job_reported_last(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Others read it while the job runs."""
    seen: list[object] = []

    def work() -> None:
        seen.append(future.handle.progress)
        Worker.current().report(0.5)
        seen.append(future.handle.progress)
        Worker.current().report("done")

    future = scripted.spawn(work)
    backend.run(future)

    assert seen == [None, 0.5]
    assert future.handle.progress == "done"


def test_handles_of_one_job_are_equal(scripted: WorkerPool) -> None:
    """Each look makes a new one; a set or a comparison must not notice."""
    future, other = scripted.spawn(nothing), scripted.spawn(nothing)

    assert future.handle == future.handle
    assert future.handle != other.handle
    assert future.handle in set(scripted.get_active_handles())
    assert future.handle != "handle"


def test_reprs_show_who_and_in_which_state(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """Nothing private, nothing long."""
    future = scripted.spawn(nothing, name="resize")
    backend.start(future)

    assert repr(future.handle) == "<WorkerHandle 1 'resize' running>"
    assert repr(future) == "<WorkerFuture 1 'resize' running>"


# ---- settling a spawned job by hand -------------------------------------------------------


def test_the_promise_of_a_spawned_job_is_its_write_side(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Whoever settles it first wins over the function, which never runs then."""
    future = scripted.spawn(lambda: "of the function")
    promise = future.handle.promise

    promise.resolve("by hand")

    assert id(promise.future()) == id(future)
    assert promise.is_completed()
    assert future.result() == "by hand"
    assert (backend.run_all(), scripted.statistics().queued) == (0, 0)
    with pytest.raises(InvalidStateError, match="twice"):
        promise.resolve("again")


def test_the_promise_can_reject_and_cancel_as_well(scripted: WorkerPool) -> None:
    """The three ways to settle lead to the three outcomes."""
    failed, cancelled = scripted.spawn(nothing), scripted.spawn(nothing)

    failed.handle.promise.reject(KeyError("no"))
    cancelled.handle.promise.cancel()

    assert isinstance(failed.exception(), KeyError)
    assert isinstance(cancelled.exception(), CancellationError)


def test_dropping_the_promise_of_a_spawned_job_breaks_nothing(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """It is a view: the pool settles the job."""
    future = scripted.spawn(lambda: 1)
    promise = future.handle.promise

    del promise
    backend.run(future)

    assert future.result() == 1


def test_the_second_outcome_is_told_that_it_came_late(scripted: WorkerPool) -> None:
    """Late is normal, not an error: False, and the first one stands."""
    future = scripted.spawn(nothing)
    handle = future.handle

    first = handle.complete(None)
    late = [handle.complete(None), handle.cancel(), handle.fail(ValueError("late"))]

    assert first is True
    assert late == [False, False, False]
    assert future.result() is None


def test_the_lock_is_held_to_decide_and_free_to_publish(
    monkeypatch: pytest.MonkeyPatch, scripted: WorkerPool
) -> None:
    """Who is woken may call back in; deciding without the lock would let two of them win."""
    seen: list[tuple[str, bool]] = []
    lock = scripted._core.lock

    def try_lock(free: list[bool]) -> None:
        free.append(lock.acquire(blocking=False))
        if free[0]:
            lock.release()

    def is_held() -> bool:
        free: list[bool] = []  # asked from another thread: the lock is re-entrant
        asker = threading.Thread(target=try_lock, args=(free,))
        asker.start()
        asker.join()
        return not free[0]

    class Probe(tuple[tuple[int, ...], ...]):
        __slots__ = ()

        def __getitem__(self, index: Any) -> Any:  # Any: as tuple's own
            seen.append(("decide", is_held()))
            return super().__getitem__(index)

    monkeypatch.setattr(job_record, "NEXT", Probe(NEXT))
    future = scripted.spawn(nothing)
    future.add_done_callback(lambda _: seen.append(("publish", is_held())))

    future.cancel()

    assert seen == [("decide", True), ("publish", False)]


def test_a_handle_made_by_hand_needs_a_number_and_a_text() -> None:
    """A wrong one would only be noticed in the middle of a run."""
    with pytest.raises(TypeError, match="worker_id"):
        WorkerHandle("seven", Promise())  # type: ignore[arg-type]  # refused, which is the point
    with pytest.raises(TypeError, match="name"):
        WorkerHandle(7, Promise(), None, 5)  # type: ignore[arg-type]  # refused, which is the point
    with pytest.raises(ValueError, match="timeout"):
        WorkerHandle(7, Promise(), -1.0)
