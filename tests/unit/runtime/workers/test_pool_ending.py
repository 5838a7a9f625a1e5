"""`WorkerPool`: shutting down, leaving its block, being dropped."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Literal

import pytest

from runtime.async_runtime import block_on, sleep
from runtime.errors import InvalidStateError, PoolShutdownError
from runtime.testing import LeakCheck, ScriptedBackend, race
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.async_runtime import Executor
    from runtime.workers import WorkerFuture


def test_shutdown_waits_for_accepted_jobs(pool: WorkerPool) -> None:
    """What was taken is done, also what still waited."""
    futures = [pool.spawn(lambda i=i: i) for i in range(20)]

    assert pool.shutdown() is True

    assert [future.result(0) for future in futures] == list(range(20))
    assert pool.is_shutdown()
    assert pool.statistics().state == "closed"


def test_shutdown_twice_is_fine(pool: WorkerPool) -> None:
    """Who is second need not know of the first; also many at once."""
    assert pool.shutdown() is True
    assert pool.shutdown(wait=False) is False
    assert race(*[pool.shutdown] * 5) == [True] * 5


def test_spawning_after_shutdown_is_refused(pool: WorkerPool) -> None:
    """With what to do; and nothing is started for it."""
    pool.shutdown()

    with pytest.raises(PoolShutdownError, match="the test's pool is shut down"):
        _ = pool.spawn(nothing)
    with pytest.raises(RuntimeError):
        _ = Worker.spawn(nothing, pool=pool)

    assert pool.statistics().workers == 0


def test_spawning_while_shutting_down_is_refused_and_never_runs(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Not left to which thread is faster: from the shutdown on, the pool itself says no."""
    accepted = scripted.spawn(nothing)
    scripted.shutdown(wait=False)

    with pytest.raises(PoolShutdownError):
        _ = scripted.spawn(nothing)

    assert list(backend.queued) == [accepted]
    assert scripted.statistics().state == "closing"
    backend.run_all()
    assert scripted.statistics().state == "closed"


def test_shutdown_can_cancel_what_waits(pool: WorkerPool) -> None:
    """What runs is let run."""
    running = [Gate("r"), Gate("r")]
    kept = [pool.spawn(gate) for gate in running]
    for gate in running:
        gate.wait_begun()
    waiting = [pool.spawn(nothing) for _ in range(3)]

    pool.shutdown(wait=False, cancel_pending=True)
    cancelled = [future.cancelled() for future in waiting]
    for gate in running:
        gate.open()

    assert cancelled == [True] * 3
    assert pool.shutdown() is True
    assert [future.result(0) for future in kept] == ["r", "r"]


def test_shutdown_answers_false_when_its_limit_passes(pool: WorkerPool) -> None:
    """It says honestly that something is left."""
    gate: Gate[str] = Gate()
    _ = pool.spawn(gate)
    gate.wait_begun()

    assert pool.shutdown(timeout=0.0) is False
    assert pool.statistics().state == "closing"

    gate.open()


def test_shutdown_from_a_job_does_not_wait_for_itself(pool: WorkerPool) -> None:
    """And does not claim that the workers have left, for one of them is asking."""
    future = pool.spawn(pool.shutdown)

    assert future.result(GUARD) is False
    assert pool.shutdown(timeout=GUARD) is True


def test_shutdown_from_a_callback(pool: WorkerPool) -> None:
    """It runs on a worker, like a job."""
    answers: list[bool] = []
    gate: Gate[str] = Gate()
    future = pool.spawn(gate)
    future.add_done_callback(lambda _: answers.append(pool.shutdown(wait=False)))
    gate.open()

    assert future.result(GUARD) == "through"
    assert pool.shutdown(timeout=GUARD) is True
    assert answers == [False]


def test_leaving_the_block_by_an_exception_cancels_what_waits() -> None:
    """The program has failed: what it had not begun is not begun any more."""
    gate: Gate[str] = Gate()

    def use() -> None:
        with WorkerPool(1) as pool:
            kept.append(pool.spawn(gate))
            gate.wait_begun()
            waiting.append(pool.spawn(gate))
            gate.open()
            raise LookupError("of the block")

    kept: list[WorkerFuture[str]] = []
    waiting: list[WorkerFuture[str]] = []
    with pytest.raises(LookupError, match="of the block"):
        use()

    assert kept[0].result(0) == "through"
    assert waiting[0].done()


def test_async_with_waits_without_blocking_the_loop(executor: Executor) -> None:
    """Other tasks go on while the last jobs end."""
    gate: Gate[str] = Gate()
    beats: list[int] = []

    async def heart() -> None:
        for beat in range(3):
            beats.append(beat)
            await sleep(0)
        gate.open()

    async def main() -> str:
        async with WorkerPool(1) as pool:
            future = pool.spawn(gate)
            task = executor.spawn(heart())
        await task
        return future.result(0)

    assert executor.run_until_complete(main()) == "through"
    assert beats == [0, 1, 2]


def test_async_with_cancels_what_waits_after_an_exception(executor: Executor) -> None:
    """As the plain block does."""
    gate: Gate[str] = Gate()
    waiting: list[WorkerFuture[None]] = []

    async def main() -> None:
        async with WorkerPool(1) as pool:
            _ = pool.spawn(gate)
            gate.wait_begun()
            waiting.append(pool.spawn(nothing))
            gate.open()
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        executor.run_until_complete(main())

    assert waiting[0].done()


def test_a_dropped_pool_ends_its_jobs_and_its_threads() -> None:
    """Nobody has to remember to shut down; nothing is lost, nothing leaks."""
    with LeakCheck():
        pool: WorkerPool | None = WorkerPool(2)
        assert pool is not None
        futures = [pool.spawn(lambda: 1) for _ in range(10)]
        dropped = weakref.ref(pool)

        pool = None
        gc.collect()

        assert dropped() is None
        assert [future.result(GUARD) for future in futures] == [1] * 10


def test_spawning_races_with_shutdown_and_every_job_ends() -> None:
    """Each spawn gives a future that settles, or is refused; none hangs."""
    pool = WorkerPool(2)
    accepted: list[WorkerFuture[None]] = []
    refused: list[PoolShutdownError] = []
    enough = threading.Event()

    def spawn_until_refused() -> None:
        while not refused:
            try:
                accepted.append(pool.spawn(nothing))
                if len(accepted) > 50:
                    enough.set()
            except PoolShutdownError as error:
                refused.append(error)

    def shut_down() -> None:
        assert enough.wait(GUARD)
        pool.shutdown(timeout=GUARD)

    race(spawn_until_refused, spawn_until_refused, shut_down)

    assert pool.shutdown(timeout=GUARD) is True
    for future in accepted:
        assert future.result(GUARD) is None


def test_two_pools_live_side_by_side() -> None:
    """Nothing is shared but the process: one may end while the other works."""
    with WorkerPool(1, name="a") as first, WorkerPool(1, name="b") as second:
        gate: Gate[str] = Gate()
        held = first.spawn(gate)
        second.shutdown()

        assert first.spawn(nothing).done() is False
        gate.open()
        assert held.result(GUARD) == "through"


# ---- configuring the default pool ---------------------------------------------------------


def test_the_default_pool_takes_every_option_of_a_pool() -> None:
    """Typed as those are."""
    Worker.configure_pool(2, name="mine", backend="inline")

    assert Worker.get_pool().name == "mine"
    assert Worker.spawn(threading.get_ident).result() == threading.get_ident()


def test_configuring_twice_is_refused() -> None:
    """The second one would silently lose."""
    WorkerPool.configure_global(2)

    with pytest.raises(InvalidStateError, match="already initialized"):
        WorkerPool.configure_global(3)

    assert WorkerPool.get_global().max_workers == 2


def test_many_threads_get_one_default_pool() -> None:
    """First use may come from anywhere, at the same moment."""
    pools = race(*[WorkerPool.get_global] * 8)

    assert len({id(pool) for pool in pools}) == 1


@pytest.mark.parametrize("backend", ["thread", "inline"])
def test_async_with_in_a_job_of_the_pool_does_not_wait_for_itself(
    backend: Literal["thread", "inline"],
) -> None:
    """The job holds the very slot for whose end it would wait."""
    pool = WorkerPool(1, backend=backend)
    left: list[bool] = []

    async def enter() -> None:
        async with pool:
            pass

    def work() -> None:
        block_on(enter())
        left.append(pool.is_shutdown())

    caller = threading.Thread(target=lambda: pool.spawn(work)._wait(GUARD), daemon=True)
    caller.start()
    caller.join(GUARD)

    assert left == [True]
    assert pool.shutdown() is True


def test_a_pool_that_is_shut_down_is_freed_without_the_collector() -> None:
    """Reference counting is enough: nothing of it points back to it."""
    pool = WorkerPool(1)
    pool.shutdown()
    weak = weakref.ref(pool)
    gc.disable()
    try:
        del pool
        alive = weak()
    finally:
        gc.enable()

    assert alive is None
