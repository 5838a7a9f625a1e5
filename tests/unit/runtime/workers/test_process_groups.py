"""Many jobs in processes, the short ways to them, and who awaits them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio

from runtime.async_runtime import sleep
from runtime.errors import CancellationError, InvalidStateError, UnpicklableError
from runtime.workers import Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, nothing
from tests.unit.runtime.workers.process_here import fail, sleep_for_long, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor
    from runtime.workers.group import SpawnAll
    from tests.unit.runtime.far_gates import FarGate

pytestmark = pytest.mark.process


# ---- spawn_all ----------------------------------------------------------------------------


def test_results_come_in_order(new_processes: Callable[..., WorkerPool]) -> None:
    """Whichever child was quicker."""
    pool = new_processes(2)

    group = Worker.spawn_all([lambda i=i: i for i in range(20)], pool=pool)  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    assert group.result(GUARD) == list(range(20))
    assert Worker.spawn_all([], pool=pool).result(GUARD) == []


def test_the_first_failure_ends_the_group(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """What runs is asked to stop, and notes tell what became of each."""

    def fail_later() -> None:
        failing()
        fail()

    pool = new_processes(2, grace=None)
    held, failing = far_gate(), far_gate()
    group: SpawnAll[None] = Worker.spawn_all(
        [functools.partial(sleep_for_long, held), fail_later], name="part", pool=pool
    )
    held.wait_begun()
    failing.wait_begun()

    failing.open()
    error = group.exception(GUARD)

    assert isinstance(error, ValueError)
    notes = "\n".join(error.__notes__)
    assert "part-1" in notes
    assert "of spawn_all failed" in notes
    assert group.futures[0].cancelled()
    sleeper = group.futures[0].handle
    wait_until(pool, lambda: sleeper.outcome is Outcome.STOPPED)


# ---- map ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 7, 100])
@pytest.mark.parametrize("ordered", [True, False])
def test_map_gives_every_result_once(
    new_processes: Callable[..., WorkerPool], chunksize: int, ordered: bool
) -> None:
    """In order, or as they come; in chunks of any size."""
    pool = new_processes(2)

    found = list(
        Worker.map(lambda x: x * x, range(50), chunksize=chunksize, ordered=ordered, pool=pool)
    )

    assert sorted(found) == [x * x for x in range(50)]
    assert not ordered or found == sorted(found)


def test_map_reads_no_further_than_it_needs(processes: WorkerPool) -> None:
    """An endless source is fine, and what is left is cancelled."""
    read: list[int] = []

    def numbers() -> Any:
        while True:
            read.append(len(read))
            yield read[-1]

    with Worker.map(abs, numbers(), window=3, pool=processes) as results:
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]

    assert len(read) <= 9
    assert processes.wait_idle(GUARD)


def test_map_raises_the_error_of_its_item(processes: WorkerPool) -> None:
    """After the results before it."""
    results = Worker.map(lambda x: 6 // x, [3, 2, 0, 1], pool=processes)

    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


# ---- the short ways -----------------------------------------------------------------------


def test_worker_takes_the_backend_by_its_name() -> None:
    """The default pool of that backend, made once, next to the default pool."""
    future = Worker.spawn(os.getpid, backend="process")
    many = Worker.spawn_all([os.getpid, os.getpid], backend="process")
    mapped = list(Worker.map(abs, [-1, -2], backend="process"))

    assert future.result(GUARD) != os.getpid()
    assert os.getpid() not in many.result(GUARD)
    assert mapped == [1, 2]
    pool = WorkerPool.get_default("process")
    assert pool is WorkerPool.get_default("process")
    assert pool is not Worker.get_pool()
    assert pool.statistics().backend == "process"
    assert Worker.spawn(os.getpid).result(GUARD) == os.getpid()  # the default stays what it was


def test_the_default_pool_may_be_one_of_processes() -> None:
    """Then everything that does not say otherwise runs there, and there is no second one."""
    pool = Worker.configure_pool(1, backend="process", grace=None)

    assert Worker.spawn(os.getpid).result(GUARD) != os.getpid()
    assert WorkerPool.get_default("process") is pool is Worker.get_pool()
    assert WorkerPool.get_default("thread") is not pool
    assert Worker.spawn(os.getpid, backend="thread").result(GUARD) == os.getpid()
    with pytest.raises(InvalidStateError, match="already initialized"):
        Worker.configure_pool(2)


def test_a_default_pool_that_was_shut_down_is_replaced() -> None:
    """One that was asked for by its backend alone: nobody owns it."""
    first = WorkerPool.get_default("process")
    first.shutdown()

    assert WorkerPool.get_default("process") is not first
    assert Worker.spawn(abs, args=(-3,), backend="process").result(GUARD) == 3


def test_check_tells_in_advance_what_would_be_refused() -> None:
    """No process is needed for that."""
    opened = iter([1])
    generator = (one for one in opened)

    Worker.check(nothing)
    Worker.check(lambda: nothing)
    with pytest.raises(UnpicklableError, match=r"'generator'.*generator"):
        Worker.check(lambda: generator)
    with pytest.raises(TypeError, match="needs a function"):
        Worker.check(5)  # type: ignore[arg-type]  # that is the point


def test_what_cannot_travel_is_refused_at_the_spawn(processes: WorkerPool) -> None:
    """Nothing is left of it: the pool counts a failure, and is idle."""
    generator = (one for one in [1])

    with pytest.raises(UnpicklableError, match="worker 1 'bad'"):
        _ = processes.spawn(lambda: generator, name="bad")

    assert processes.get_active_count() == 0
    assert processes.wait_idle(GUARD)
    assert processes.spawn(abs, args=(-1,)).result(GUARD) == 1


def test_a_result_that_cannot_travel_fails_its_job_alone(processes: WorkerPool) -> None:
    """The child goes on."""
    before = processes.spawn(os.getpid).result(GUARD)

    error = processes.spawn(lambda: (one for one in [1]), name="bad").exception(GUARD)

    assert isinstance(error, UnpicklableError)
    assert "worker 2 'bad'" in str(error)
    assert processes.spawn(os.getpid).result(GUARD) == before


# ---- who awaits ---------------------------------------------------------------------------


async def _use(pool: WorkerPool) -> tuple[object, ...]:
    value = await pool.spawn(abs, args=(-1,))
    failure: object = None
    try:
        await pool.spawn(fail)
    except ValueError as error:
        failure = error.args
    many = await Worker.spawn_all([os.getpid, os.getpid], pool=pool)
    return value, failure, len(set(many) - {os.getpid()})


_USED = (1, ("of the job",), 1)


def test_an_executor_awaits_jobs_in_processes(processes: WorkerPool, executor: Executor) -> None:
    """As those on threads."""
    assert executor.run_until_complete(_use(processes)) == _USED


def test_asyncio_awaits_jobs_in_processes(processes: WorkerPool) -> None:
    """Its loop is woken from the collector's thread."""
    assert asyncio.run(_use(processes)) == _USED


def test_trio_awaits_jobs_in_processes(processes: WorkerPool) -> None:
    """Its loop, too."""
    assert trio.run(_use, processes) == _USED


def test_a_task_that_is_cancelled_cancels_its_job(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]], executor: Executor
) -> None:
    """Nobody else waits for it."""
    gate = far_gate()
    future = processes.spawn(gate)
    gate.wait_begun()

    async def main() -> None:
        task = executor.spawn(_wait_for(future))
        while not future._waiting():
            await sleep(0.0)
        task.cancel()
        with contextlib.suppress(CancellationError):
            await task

    executor.run_until_complete(main())

    assert future.cancelled()
    gate.open()


async def _wait_for(future: Any) -> None:
    await future
