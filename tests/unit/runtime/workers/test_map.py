"""`Worker.map`: order, window, chunks, errors, and the end."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor
from runtime.errors import CancellationError, PoolShutdownError
from runtime.testing import race
from runtime.workers import MapResults, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.async_runtime import UnhandledError
    from runtime.testing import ManualClock, ScriptedBackend


def double(number: int) -> int:
    return number * 2


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [1, 3, 100])
@pytest.mark.parametrize("window", [None, 1, 1000])
def test_every_item_gives_its_result_once(
    pool: WorkerPool,
    ordered: bool,
    chunksize: int,
    window: int | None,  # noqa: FBT001 - parameters
) -> None:
    """Whatever the window and the chunks are."""
    results = Worker.map(
        double, range(20), ordered=ordered, chunksize=chunksize, window=window, pool=pool
    )

    found = list(results)

    assert sorted(found) == [double(number) for number in range(20)]
    assert not ordered or found == sorted(found)
    assert list(results) == []


def test_nothing_to_map(pool: WorkerPool) -> None:
    """No items, no results, no jobs."""
    assert list(Worker.map(double, [], pool=pool)) == []
    assert pool.get_next_worker_id() == 1


def test_in_order_a_result_waits_for_those_before_it(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The second is there first, and comes second."""
    results = Worker.map(double, [1, 2], pool=scripted)
    first, second = backend.queued

    backend.run(second)
    backend.run(first)

    assert list(results) == [2, 4]


def test_unordered_results_come_as_they_are_ready(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """A slow one does not hold up the others."""
    results = Worker.map(double, [1, 2, 3], ordered=False, pool=scripted)
    first, second, third = backend.queued

    backend.run(third)
    got = [next(results)]
    backend.run(first)
    backend.run(second)

    assert got + list(results) == [6, 2, 4]


@pytest.mark.parametrize("ordered", [True, False])
def test_waiting_for_a_result_that_another_thread_brings(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    ordered: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The consumer sleeps until there is one."""
    results = Worker.map(double, [1, 2], ordered=ordered, pool=scripted)

    found, count = race(lambda: list(results), backend.run_all)

    assert sorted(found) == [2, 4]  # type: ignore[arg-type]  # the first call's result
    assert count == 2


def test_the_window_bounds_how_far_the_items_are_read(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """An endless iterator is fine: a job is made when there is room for it."""
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            yield number

    results = Worker.map(double, items(), window=3, pool=scripted)
    at_first = len(read)
    backend.run_all()
    when_ended = len(read)
    next(results)

    assert (at_first, when_ended, len(read)) == (3, 3, 4)
    results.close()


def test_the_default_window_goes_with_the_workers(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Four jobs for each worker keep it busy while results are taken."""
    results = Worker.map(double, itertools.count(), pool=scripted)

    assert len(backend.queued) == 4 * scripted.max_workers
    results.close()


def test_a_chunk_is_one_job(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """The last one takes what is left."""
    results = Worker.map(double, range(7), chunksize=3, window=10, name="part", pool=scripted)

    assert [job.label for job in backend.queued] == [f"worker {i} 'part'" for i in (1, 2, 3)]
    backend.run_all()
    assert list(results) == [0, 2, 4, 6, 8, 10, 12]


# ---- errors -------------------------------------------------------------------------------


def test_an_error_comes_at_the_place_of_its_item_and_ends_the_iterator(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """What came before it is not lost; what waits is cancelled; it is told once."""
    results = Worker.map(lambda number: 6 // number, [3, 2, 0, 0, 1], pool=scripted)
    jobs = list(backend.queued)
    for job in jobs[:4]:
        backend.run(job)

    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)

    assert list(results) == []
    assert backend.queued == []
    del results, jobs, job
    gc.collect()
    assert reports == []


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_iteration_of_the_function_does_not_end_the_iterator_silently(
    pool: WorkerPool, kind: type[Exception]
) -> None:
    """It must not look like the end: results would be missing, and nobody would know."""

    def stop(_: int) -> None:
        raise kind("mine")

    with pytest.raises(RuntimeError, match="mapped function") as caught:
        list(Worker.map(stop, [1, 2], pool=pool))

    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [1, 2, 5])
def test_what_the_items_raise_comes_after_what_they_gave(
    pool: WorkerPool,
    ordered: bool,
    chunksize: int,  # noqa: FBT001 - parameters
) -> None:
    """Wherever the window stands: no result is lost, no item twice."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("the source broke")

    results = Worker.map(double, items(), ordered=ordered, chunksize=chunksize, pool=pool)
    found: list[int] = []
    with pytest.raises(LookupError, match="the source broke"):
        for result in results:
            found.append(result)  # noqa: PERF402 - what is there when it raises counts

    assert sorted(found) == [0, 2, 4, 6, 8]
    assert list(results) == []


def test_items_that_raise_at_once_raise_at_the_call(scripted: WorkerPool) -> None:
    """There is no earlier result to wait for."""

    def items() -> Iterator[int]:
        raise LookupError("empty handed")
        yield 1

    with pytest.raises(LookupError, match="empty handed"):
        Worker.map(double, items(), pool=scripted)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"chunksize": 0}, ValueError),
        ({"chunksize": 1.5}, TypeError),
        ({"window": 0}, ValueError),
        ({"window": True}, TypeError),
        ({"timeout": -1.0}, ValueError),
        ({"name": 5}, TypeError),
        ({"items": 5}, TypeError),
        ({"func": 5}, TypeError),
    ],
)
def test_bad_arguments_are_refused_at_the_call(
    scripted: WorkerPool, backend: ScriptedBackend, options: dict[str, Any], error: type[Exception]
) -> None:
    """Not when the first result is asked for."""
    arguments = {"func": double, "items": [1], "pool": scripted, **options}

    with pytest.raises(error):
        Worker.map(**arguments)

    assert backend.queued == []


def test_a_pool_that_is_shut_down_refuses_at_the_call(scripted: WorkerPool) -> None:
    """As spawn does."""
    scripted.shutdown()

    with pytest.raises(PoolShutdownError):
        Worker.map(double, [1], pool=scripted)


def test_a_pool_shut_down_on_the_way_gives_what_it_took_then_says_so(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The accepted jobs still run; the first one that is refused is the end."""
    results = Worker.map(double, range(5), window=2, pool=scripted)
    scripted.shutdown(wait=False)
    backend.run_all()

    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(PoolShutdownError):
        next(results)


def test_a_limit_counts_for_each_job(scripted: WorkerPool, clock: ManualClock) -> None:
    """And ends the iterator like any error."""
    results = Worker.map(double, [1, 2], timeout=1.0, pool=scripted)
    clock.advance(1.0)

    with pytest.raises(TimeoutError, match="exceeded 1.0s"):
        next(results)


# ---- the end ------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_dropping_the_iterator_cancels_what_waits(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    ordered: bool,  # noqa: FBT001 - a parameter
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

    def interrupted(_: object, timeout: float | None = None) -> None:  # noqa: ARG001 - as result
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
    ordered: bool,  # noqa: FBT001 - a parameter
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
    ordered: bool,  # noqa: FBT001 - a parameter
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
    results = Worker.map(lambda func: func(), [gate, lambda: 2], ordered=False, pool=pool)

    assert next(results) == 2

    gate.open()
    assert next(results) == 1
    assert pool.wait_idle(GUARD)
