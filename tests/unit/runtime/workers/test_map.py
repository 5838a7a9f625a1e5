"""`Worker.map`: order, window, chunks, errors, and the end."""

from __future__ import annotations

import gc
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import PoolShutdownError
from runtime.testing import race
from runtime.workers import Worker, WorkerPool

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
    window: int | None,
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
    ordered: bool,
) -> None:
    """The consumer sleeps until there is one."""
    results = Worker.map(double, [1, 2], ordered=ordered, pool=scripted)

    found: list[int] = []

    race(lambda: found.extend(results), lambda: backend.run_all() and None)

    assert sorted(found) == [2, 4]


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
    chunksize: int,
) -> None:
    """Wherever the window stands: no result is lost, no item twice."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("the source broke")

    results = Worker.map(double, items(), ordered=ordered, chunksize=chunksize, pool=pool)
    found: list[int] = []
    with pytest.raises(LookupError, match="the source broke"):  # noqa: PT012 - not the call itself
        for result in results:
            found.append(result)  # noqa: PERF402 - what is there when it raises counts

    assert sorted(found) == [0, 2, 4, 6, 8]
    assert list(results) == []


def test_items_that_raise_at_once_raise_at_the_call(scripted: WorkerPool) -> None:
    """There is no earlier result to wait for."""
    failing = map(int, ["x"])

    def items() -> Iterator[int]:
        yield from failing

    with pytest.raises(ValueError, match="invalid literal"):
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

    with pytest.raises(TimeoutError, match=r"exceeded 1\.0s"):
        next(results)
