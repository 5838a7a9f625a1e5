"""`Worker.map`: closing, dropping, interrupting; and ``async for``."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from runtime.errors import CancellationError
from runtime.workers import HandleState, MapResults, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor, UnhandledError
    from runtime.testing import ScriptedBackend


def double(number: int) -> int:
    return number * 2


@pytest.mark.parametrize("ordered", [True, False])
def test_dropping_the_iterator_cancels_what_waits(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    ordered: bool,
) -> None:
    """Nobody can read the results any more: its own jobs must not keep it alive."""
    results: MapResults[int] | None = Worker.map(double, range(5), ordered=ordered, pool=scripted)
    dropped = weakref.ref(results) if results is not None else None
    gc.disable()
    try:
        results = None
    finally:
        gc.enable()

    assert dropped is not None
    assert dropped() is None
    assert backend.queued == []
    assert scripted.statistics().cancelled == 5


def test_closing_forgets_results_that_were_ready(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Closed is closed, also in the middle of a chunk; and twice is fine."""
    results = Worker.map(double, range(6), chunksize=3, pool=scripted)
    backend.run_all()
    assert next(results) == 0

    results.close()
    results.close()

    assert list(results) == []
    assert repr(results) == "<MapResults closed>"


def test_leaving_its_block_closes_it(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """For who leaves the loop early."""
    with Worker.map(double, range(6), pool=scripted) as results:
        assert repr(results) == "<MapResults 6 job(s) on their way>"

    assert backend.queued == []


def test_a_cancelled_job_of_it_is_an_error_at_its_place(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """For example by ``pool.cancel_all()``."""
    results = Worker.map(double, range(2), ordered=False, pool=scripted)
    scripted.cancel_all()

    with pytest.raises(CancellationError):
        next(results)


def test_the_callers_frame_is_not_kept(scripted: WorkerPool) -> None:
    """Else all its variables lived as long as the iterator."""

    class Big:
        pass

    def caller() -> tuple[MapResults[int], weakref.ref[Big]]:
        big = Big()
        return Worker.map(double, [1], pool=scripted), weakref.ref(big)

    gc.disable()
    try:
        results, big = caller()

        assert big() is None
    finally:
        gc.enable()
    results.close()


def test_interrupting_a_wait_closes_it(
    scripted: WorkerPool, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is raised at once, and what it waited for is cancelled."""
    results = Worker.map(double, range(2), ordered=False, pool=scripted)
    assert results._arrivals is not None

    def interrupted(_: object, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(results._arrivals.signal), "result", interrupted)

    with pytest.raises(KeyboardInterrupt):
        next(results)

    assert backend.queued == []


# ---- async for ----------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_async_for_gives_the_same(
    executor: Executor,
    pool: WorkerPool,
    ordered: bool,
) -> None:
    """On an executor nothing blocks."""

    async def main() -> list[int]:
        return [result async for result in Worker.map(double, range(9), ordered=ordered, pool=pool)]

    found = executor.run_until_complete(main())

    assert sorted(found) == [double(number) for number in range(9)]
    assert not ordered or found == sorted(found)


@pytest.mark.parametrize("ordered", [True, False])
def test_async_for_waits_without_blocking_the_loop(
    executor: Executor,
    scripted: WorkerPool,
    backend: ScriptedBackend,
    ordered: bool,
) -> None:
    """The loop is idle until a job ends, and then goes on."""
    found: list[int] = []

    async def main() -> None:
        async for result in Worker.map(double, [1, 2], ordered=ordered, pool=scripted):
            found.append(result)  # noqa: PERF401 - looked at on the way

    task = executor.spawn(main())
    executor.run_until_stalled()
    assert found == []
    backend.run()
    executor.run_until_stalled()
    assert found == [2]
    backend.run()
    executor.run_until_stalled()

    assert found == [2, 4]
    assert task.is_completed()


def test_an_error_ends_the_async_iteration(executor: Executor, pool: WorkerPool) -> None:
    """As in the plain one."""

    async def main() -> None:
        async for _ in Worker.map(lambda number: 1 // number, [0], pool=pool):
            pass

    with pytest.raises(ZeroDivisionError):
        executor.run_until_complete(main())


def test_a_nested_map_in_a_pool_of_one() -> None:
    """A job that waits for jobs of its own pool makes way for them."""

    def inner(number: int) -> int:
        return sum(Worker.map(double, range(number), ordered=False, pool=pool))

    with WorkerPool(1) as pool:
        assert list(Worker.map(inner, [1, 2, 3], pool=pool)) == [0, 2, 6]


def test_results_on_threads_do_not_wait_for_a_held_one(pool: WorkerPool) -> None:
    """Unordered, on real threads: the second comes while the first is held."""
    gate: Gate[int] = Gate(1)
    funcs: list[Callable[[], int]] = [gate, lambda: 2]
    results = Worker.map(lambda func: func(), funcs, ordered=False, pool=pool)

    assert next(results) == 2

    gate.open()
    assert next(results) == 1
    assert pool.wait_idle(GUARD)


def test_a_job_that_fails_while_the_map_closes_is_not_reported(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """The one error speaks for all, also for those that fail at the last moment."""

    def fail(number: int) -> None:
        raise ValueError(number)

    results = Worker.map(fail, range(3), window=3, pool=scripted)
    jobs = list(results._jobs)
    jobs[1].add_done_callback(lambda _: backend.run(jobs[2]))
    backend.run(jobs[0])

    with pytest.raises(ValueError, match="0"):
        next(results)
    state = jobs[2].state
    jobs.clear()
    gc.collect()

    assert state is HandleState.FAILED
    assert reports == []
