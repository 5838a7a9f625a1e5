"""Handle, pool and worker keep nothing: what a job held is freed with its last reader."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Promise
from runtime.workers import Worker, WorkerHandle, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.testing import ManualClock, ScriptedBackend


class Big:
    """Something whose end can be seen."""

    def __call__(self, it: object = None) -> Big:
        del it
        return Big()


@pytest.fixture(autouse=True)
def without_the_collector() -> Iterator[None]:
    """What is freed must be freed by its last reference: no cycle may be left behind."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def end_by_running(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    backend.run_all()


def end_by_cancelling(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    for handle in pool.get_active_handles():
        handle.cancel()


def end_by_cancelling_all(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    pool.cancel_all()


def end_by_expiry(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    clock.advance(1000.0)


def end_by_hand(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    pool.get_active_handles()[0].complete(None)


def end_by_crashing(pool: WorkerPool, backend: ScriptedBackend, clock: ManualClock) -> None:
    backend.crash()


def nothing_but(big: Big) -> Big:
    return big


ENDS = [
    end_by_running,
    end_by_cancelling,
    end_by_cancelling_all,
    end_by_expiry,
    end_by_hand,
    end_by_crashing,
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("interrupt", [False, True])
def test_the_function_and_its_arguments_are_freed_when_the_job_is_over(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    end: Callable[[WorkerPool, ScriptedBackend, ManualClock], None],
    interrupt: bool,
) -> None:
    """The future may be kept for long: it keeps the result, not the work."""
    func, argument = Big(), Big()
    freed = [weakref.ref(func), weakref.ref(argument)]
    future = scripted.spawn(func, kwargs={"it": argument}, timeout=500.0, interrupt=interrupt)
    handle = future.handle
    del func, argument

    end(scripted, backend, clock)
    future.exception()

    assert [one() for one in freed] == [None, None]
    assert handle.outcome is not None


def test_a_result_lives_as_long_as_somebody_can_read_it(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Future and handle are such readers; the pool is not."""
    future = scripted.spawn(Big(), timeout=500.0)
    backend.run(future)
    freed = weakref.ref(future.result())
    held = freed() is not None

    del future

    assert held
    assert freed() is None


def test_the_late_result_of_a_cancelled_job_is_dropped_at_once(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Nobody can ever read it."""
    made: list[weakref.ref[Big]] = []

    def work() -> Big:
        big = Big()
        made.append(weakref.ref(big))
        return big

    future = scripted.spawn(work)
    backend.start(future)
    future.cancel()

    backend.run(future)

    assert made[0]() is None


def test_a_failure_leaves_no_cycle(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """The traceback holds the frames of the job, and none of these holds the future."""
    big = Big()
    freed = weakref.ref(big)

    def fail(local: Big) -> None:
        raise ValueError(local)

    future = scripted.spawn(fail, args=(big,))
    backend.run(future)
    with suppress(ValueError):
        future.result()
    del big, future

    assert freed() is None


def test_a_pool_is_freed_while_its_futures_are_kept(
    backend: ScriptedBackend, clock: ManualClock
) -> None:
    """They know the core of the pool, not the pool."""
    pool: WorkerPool | None = WorkerPool(1, backend=backend.attach, clock=clock)
    assert pool is not None
    freed = weakref.ref(pool)
    futures: list[Any] = [pool.spawn(nothing), Worker.spawn_all([nothing], pool=pool)]

    pool = None

    assert freed() is None
    backend.run_all()
    assert [future.done() for future in futures] == [True, True]


def test_a_handle_made_by_hand_leaves_no_cycle(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Promise, handle and job know each other only until there is an outcome."""
    big = Big()
    freed = weakref.ref(big)
    promise: Promise[Big] = Promise()
    handle = WorkerHandle(7, promise)
    scripted.submit(partial(nothing_but, big), handle)
    backend.run_all()
    assert promise.future().result() is big

    del promise, handle, big

    assert freed() is None


def test_a_group_and_its_results_are_freed_together(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Members know the group only until they have settled."""
    group = Worker.spawn_all([Big()] * 3, pool=scripted)
    backend.run_all()
    freed = [weakref.ref(one) for one in group.result()]

    del group

    assert [one() for one in freed] == [None] * 3


def test_an_idle_worker_keeps_nothing_of_its_last_job() -> None:
    """It may be idle for days."""
    pool = WorkerPool(1)
    func = Big()
    future = pool.spawn(func)
    freed = [weakref.ref(func), weakref.ref(future.result(GUARD))]
    del func, future
    gate: Gate[str] = Gate()
    last = pool.spawn(gate)  # when this runs, the worker has let go of the one before
    gate.wait_begun()

    assert [one() for one in freed] == [None, None]

    gate.open()
    assert last.result(GUARD) == "through"
    pool.shutdown()
