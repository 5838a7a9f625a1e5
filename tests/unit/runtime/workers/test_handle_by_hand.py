"""Handles that a program makes itself: for `WorkerPool.submit`, or for a backend of its own."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor, Promise
from runtime.errors import (
    CancellationError,
    CancelRequestedError,
    InvalidStateError,
    PoolShutdownError,
    WorkerTimeoutError,
)
from runtime.testing import ManualClock
from runtime.workers import HandleState, Outcome, Worker, WorkerHandle, WorkerPool
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from runtime.async_runtime import UnhandledError
    from runtime.testing import ScriptedBackend


def fail() -> None:
    raise LookupError("unseen")


@pytest.fixture
def promise() -> Promise[int]:
    return Promise()


@pytest.fixture
def handle(promise: Promise[int], clock: ManualClock) -> WorkerHandle[int]:
    return WorkerHandle(7, promise, 5.0, "mine", clock=clock)


def test_it_knows_what_it_was_made_with(handle: WorkerHandle[int], promise: Promise[int]) -> None:
    """The positional arguments that programs pass."""
    assert (handle.worker_id, handle.timeout, handle.name) == (7, 5.0, "mine")
    assert handle.promise is promise
    assert (handle.cancelled, handle.completed, handle.state) == (
        False,
        False,
        HandleState.PENDING,
    )
    assert handle.start_time == 100.0


def test_defaults(promise: Promise[int]) -> None:
    """No limit, and a name made of the number."""
    handle = WorkerHandle(7, promise)

    assert (handle.timeout, handle.name, handle.is_timeout()) == (None, "worker-7", False)
    assert handle.elapsed() >= 0.0


def test_complete_settles_the_promise(handle: WorkerHandle[int], promise: Promise[int]) -> None:
    """One call does both."""
    handle.start()

    assert handle.complete(42) is True

    assert promise.future().result() == 42
    assert (handle.completed, handle.outcome) == (True, Outcome.FINISHED)


def test_fail_settles_the_promise(handle: WorkerHandle[int], promise: Promise[int]) -> None:
    """The error arrives as itself."""
    handle.start()

    assert handle.fail(LookupError("gone")) is True

    with pytest.raises(LookupError, match="gone"):
        promise.future().result()


def test_cancel_settles_the_promise(handle: WorkerHandle[int], promise: Promise[int]) -> None:
    """And says who was cancelled."""
    assert handle.cancel() is True

    with pytest.raises(CancellationError, match="worker 7 'mine' was cancelled"):
        promise.future().result()
    assert handle.start() is False


def test_starting_twice_is_a_bug(handle: WorkerHandle[int]) -> None:
    """Two must never run one job."""
    handle.start()

    with pytest.raises(InvalidStateError, match="cannot start a worker that is running"):
        handle.start()


def test_cancelled_while_a_backend_of_ones_own_runs_it(handle: WorkerHandle[int]) -> None:
    """It is abandoned until that backend says that the function has ended."""
    handle.start()
    handle.cancel()
    during = handle.outcome

    late = handle.complete(1)

    assert (during, late, handle.outcome) == (Outcome.ABANDONED, False, Outcome.FINISHED)


def test_stopped_in_a_backend_of_ones_own(handle: WorkerHandle[int]) -> None:
    """The late error tells that the function has seen the request."""
    handle.start()
    handle.cancel()

    handle.fail(CancelRequestedError())

    assert handle.outcome is Outcome.STOPPED


def test_is_timeout_compares(handle: WorkerHandle[int], clock: ManualClock) -> None:
    """Without a pool nobody watches the limit: the program asks."""
    clock.advance(4.0)
    before = handle.is_timeout()
    clock.advance(1.0)

    assert (before, handle.is_timeout(), handle.completed) == (False, True, False)


# ---- WorkerPool.submit --------------------------------------------------------------------


def test_submit_runs_the_function_as_the_job_of_the_handle(
    executor: Executor, pool: WorkerPool, promise: Promise[int]
) -> None:
    """The way in which programs that know only `WorkerPool` use it."""
    handle = WorkerHandle(pool.get_next_worker_id(), promise, None, "mine")

    pool.submit(lambda: 42, handle)

    assert executor.run_until_complete(promise.future()) == 42
    assert handle.completed
    assert "test_handle_by_hand.py" in handle.place


def test_submit_watches_the_limit_of_the_handle(
    scripted: WorkerPool, handle: WorkerHandle[int], promise: Promise[int], clock: ManualClock
) -> None:
    """It counts from when the handle was made."""
    clock.advance(3.0)
    scripted.submit(lambda: 1, handle)

    clock.advance(2.0)

    with pytest.raises(TimeoutError, match=r"exceeded 5.0s\): 5.000s passed"):
        promise.future().result()


def test_submit_takes_the_limit_over_to_the_pools_clock(
    scripted: WorkerPool, clock: ManualClock, promise: Promise[int]
) -> None:
    """The handle was made on another clock: what is left of its limit is what counts."""
    other = ManualClock(start=5000.0)
    handle = WorkerHandle(7, promise, 5.0, clock=other)
    other.advance(1.0)
    scripted.submit(lambda: 1, handle)

    clock.advance(3.5)
    before = handle.is_timeout()
    clock.advance(0.5)

    assert (before, handle.is_timeout()) == (False, True)
    assert isinstance(promise.future().exception(), WorkerTimeoutError)


def test_submit_inherits_the_deadline_of_the_job_it_is_called_in(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock, promise: Promise[int]
) -> None:
    """As any spawn does."""
    handle = WorkerHandle(7, promise, clock=clock)
    parent = scripted.spawn(lambda: scripted.submit(lambda: 1, handle), timeout=2.0)
    backend.run(parent)

    clock.advance(2.0)

    assert isinstance(promise.future().exception(), WorkerTimeoutError)


def test_a_submitted_handle_cannot_be_submitted_again(
    scripted: WorkerPool, handle: WorkerHandle[int], backend: ScriptedBackend
) -> None:
    """Neither while it waits nor afterwards."""
    scripted.submit(lambda: 1, handle)
    with pytest.raises(InvalidStateError, match="submitted already"):
        scripted.submit(lambda: 2, handle)
    backend.run_all()

    with pytest.raises(InvalidStateError, match="submitted already"):
        scripted.submit(lambda: 3, handle)


def test_submitting_a_cancelled_handle_does_nothing(
    scripted: WorkerPool, handle: WorkerHandle[int], backend: ScriptedBackend
) -> None:
    """Whoever cancelled it was faster; that is no error."""
    handle.cancel()

    scripted.submit(lambda: 1, handle)

    assert backend.queued == []


def test_submit_refuses_what_cannot_run(scripted: WorkerPool, handle: WorkerHandle[int]) -> None:
    """The handle is as before, and can be submitted with something better."""
    with pytest.raises(TypeError, match="needs a function"):
        scripted.submit(5, handle)  # type: ignore[arg-type]  # refused, which is the point

    assert handle.state is HandleState.PENDING


def test_submit_to_a_pool_that_is_shut_down(
    scripted: WorkerPool, handle: WorkerHandle[int], promise: Promise[int]
) -> None:
    """The caller is told, and so is whoever waits for the promise."""
    scripted.shutdown()

    with pytest.raises(PoolShutdownError, match="takes no more jobs"):
        scripted.submit(lambda: 1, handle)

    assert isinstance(promise.future().exception(), PoolShutdownError)


def test_cancelling_the_promises_future_cancels_the_job(
    scripted: WorkerPool, handle: WorkerHandle[int], promise: Promise[int]
) -> None:
    """That future is all that some callers hold."""
    scripted.submit(lambda: 1, handle)

    assert promise.future().cancel() is True

    assert handle.cancelled
    assert scripted.get_active_count() == 0


def test_cancel_handle_then_run_settles_the_promise_once(
    scripted: WorkerPool, handle: WorkerHandle[int], promise: Promise[int], backend: ScriptedBackend
) -> None:
    """Handle and promise agree, at every moment."""
    scripted.submit(lambda: Worker.current().id, handle)
    backend.start()

    handle.cancel()
    backend.run()

    assert promise.future().cancelled()
    assert scripted.statistics().cancelled == 1


def test_a_failure_that_neither_side_reads_is_reported_once(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """The two share the failure: reading either is enough, dropping both is reported."""

    def spawn(*, read: bool) -> None:
        promise: Promise[None] = Promise()
        handle = WorkerHandle(7, promise, None, "read" if read else "unread")
        scripted.submit(fail, handle)
        backend.run_all()
        if read:
            promise.future().exception()

    spawn(read=True)
    spawn(read=False)
    gc.collect()

    assert [report.who for report in reports] == ["worker 7 'unread'"]


def test_waiting_for_a_submitted_job_from_a_plain_thread(pool: WorkerPool) -> None:
    """No executor is needed anywhere."""
    promise: Promise[str] = Promise()
    pool.submit(lambda: "plain", WorkerHandle(pool.get_next_worker_id(), promise))

    assert promise.future().result(GUARD) == "plain"
