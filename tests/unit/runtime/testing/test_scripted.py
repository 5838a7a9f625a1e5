"""`ScriptedBackend`: each step is the test's, and wrong steps are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.backends import Capabilities
from runtime.errors import InvalidStateError, WorkerRuntimeError
from runtime.testing import ManualClock, ScriptedBackend, race
from runtime.workers import HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.scripted_here import end_scripted

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    made = ScriptedBackend()
    yield made
    end_scripted(made)


@pytest.fixture
def pool(backend: ScriptedBackend) -> WorkerPool:
    return WorkerPool(1, backend=backend.attach, clock=ManualClock())


def nothing() -> None:
    """Do nothing."""


def test_nothing_runs_by_itself(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """A spawned job waits until the test says otherwise."""
    future = pool.spawn(nothing)

    assert list(backend.queued) == [future]
    assert future.handle.state is HandleState.PENDING


def test_start_then_run(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """Between the two steps the job runs, as everybody else sees it."""
    future = pool.spawn(lambda: "done")

    assert backend.start() is future
    assert (list(backend.queued), list(backend.started)) == ([], [future])
    assert pool.statistics().running == 1
    assert backend.run() is future

    assert future.result() == "done"
    assert backend.started == []


def test_any_order_can_be_scripted(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """By naming the job; without a name it is the one that started first, or the oldest."""
    order: list[int] = []
    first, second, third = (
        pool.spawn(lambda number=number: order.append(number)) for number in (1, 2, 3)
    )
    backend.start(third)

    backend.run(second)
    backend.run()
    backend.run()

    assert order == [2, 3, 1]
    assert first.done()


def test_a_job_sees_itself_and_may_spawn(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """As on any backend; what it spawns waits."""
    inner = []
    outer = pool.spawn(lambda: inner.append(pool.spawn(lambda: Worker.current().name)))

    assert backend.run_all() == 2

    assert outer.done()
    assert inner[0].result() == "worker-2"


def test_crash_fails_the_job_without_calling_its_function(
    backend: ScriptedBackend, pool: WorkerPool
) -> None:
    """As when the process that ran it was killed."""
    calls: list[int] = []
    future, other = (pool.spawn(calls.append, args=(1,)) for _ in range(2))

    backend.crash(future)
    backend.crash(other, OSError("my own"))

    with pytest.raises(WorkerRuntimeError, match="worker 1 crashed"):
        future.result()
    with pytest.raises(OSError, match="my own"):
        other.result()
    assert future.handle.outcome is Outcome.KILLED
    assert calls == []


def test_refuse_next_fails_one_spawn(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """The one after it is taken again."""
    backend.refuse_next(WorkerRuntimeError("full"))

    with pytest.raises(WorkerRuntimeError, match="full"):
        _ = pool.spawn(nothing)

    assert pool.spawn(nothing) in backend.queued


def test_wrong_steps_are_refused(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """A test that has lost count learns it at once."""
    with pytest.raises(InvalidStateError, match="no job waits"):
        backend.start()
    with pytest.raises(InvalidStateError, match="no job waits"):
        backend.run()
    future = pool.spawn(nothing)
    backend.run(future)
    with pytest.raises(InvalidStateError, match="does not wait"):
        backend.run(future)
    cancelled = pool.spawn(nothing)
    cancelled.cancel()
    with pytest.raises(InvalidStateError, match="does not wait"):
        backend.start(cancelled)


def test_waiting_for_idleness_and_the_end(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """Another thread may run what is left meanwhile."""
    future = pool.spawn(nothing)

    assert (pool.wait_idle(0.0), pool.shutdown(timeout=0.0)) == (False, False)
    assert race(lambda: pool.shutdown(timeout=10.0), lambda: bool(backend.run_all())) == [
        True,
        True,
    ]
    assert future.done()


def test_capabilities_are_what_the_test_wants() -> None:
    """To see how code behaves on a backend that claims them."""
    backend = ScriptedBackend(Capabilities(name="mine", can_kill=True))
    pool = WorkerPool(1, backend=backend.attach)

    assert pool.statistics().backend == "mine"
    assert backend.capabilities.can_kill


def test_after_a_fork_the_jobs_of_the_parent_are_given_back(
    backend: ScriptedBackend, pool: WorkerPool
) -> None:
    """The pool settles them in the child; the backend starts afresh."""
    started, queued = pool.spawn(nothing), pool.spawn(nothing)
    backend.start(started)

    lost = list(backend.reset_after_fork(pool._core.lock))

    assert lost == [started, queued]
    assert (backend.queued, backend.started) == ([], [])


def test_its_slot_cannot_be_interrupted(backend: ScriptedBackend, pool: WorkerPool) -> None:
    """The test's thread is not ours."""
    seen: list[bool] = []

    def work() -> None:
        assert future.slot is not None
        seen.append(future.slot.interrupt(future))

    future = pool.spawn(work)
    backend.run(future)

    assert seen == [False]
