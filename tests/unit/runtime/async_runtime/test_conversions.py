"""Futures of ours as those of asyncio and of `concurrent.futures`, where only these will do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Promise
from runtime.errors import CancellationError, CancelRequestedError
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as made:
        yield made


def test_a_job_is_a_standard_future(pool: WorkerPool) -> None:
    """One more at each call, all of them with the same value."""
    job = pool.spawn(lambda: 3)
    futures = [job.to_concurrent(), job.to_concurrent()]

    assert [isinstance(future, concurrent.futures.Future) for future in futures] == [True] * 2
    assert futures[0] is not futures[1]
    assert [future.result(GUARD) for future in futures] == [3, 3]
    assert job.to_concurrent().result(0) == 3


def test_wait_and_as_completed_take_them(pool: WorkerPool) -> None:
    """Values, errors and cancellations; each reader of an error has one of its own."""
    gate: Gate[str] = Gate()
    jobs: list[Any] = [pool.spawn(gate), pool.spawn(lambda: 1 // 0), pool.spawn(lambda: 1)]
    futures = [job.to_concurrent() for job in jobs]

    gate.open()
    found = set(concurrent.futures.as_completed(futures, timeout=GUARD))

    assert found == set(futures)
    assert concurrent.futures.wait(futures, timeout=GUARD).done == found
    errors = [futures[1].exception(GUARD), jobs[1].to_concurrent().exception(GUARD)]
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2
    assert errors[0] is not errors[1]


def test_cancelling_the_standard_future_cancels_the_job(pool: WorkerPool) -> None:
    """Also one that runs: nobody waits for it any more."""
    gate: Gate[str] = Gate()
    job = pool.spawn(gate)
    gate.wait_begun()
    future = job.to_concurrent()

    assert (future.cancel(), future.cancel()) == (True, True)

    assert job.cancelled()
    assert concurrent.futures.wait([future], timeout=GUARD).done
    gate.open()
    assert pool.spawn(int).to_concurrent().result(GUARD) == 0


def test_a_job_with_another_waiter_is_not_cancelled(pool: WorkerPool) -> None:
    """It is cancelled with the last of them, as by tasks that await it."""
    gate: Gate[str] = Gate()
    job = pool.spawn(gate)
    futures = [job.to_concurrent(), job.to_concurrent()]

    assert futures[0].cancel()
    gate.open()

    assert futures[1].result(GUARD) == "through"
    assert futures[1].cancel() is False


def test_cancelling_the_job_cancels_the_standard_future(pool: WorkerPool) -> None:
    """For those who look there; the bare future has our own error."""
    gate: Gate[str] = Gate()
    job = pool.spawn(gate)
    future = job.to_concurrent()
    told: list[object] = []
    future.add_done_callback(told.append)

    job.cancel()

    assert future.cancelled()
    assert told == [future]
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(GUARD)
    with pytest.raises(CancellationError):
        job.result(GUARD)
    gate.open()


def test_an_error_that_is_not_true_is_an_error() -> None:
    """The standard class of older versions gives None as the result; ours raises, on every one."""

    class UntrueError(Exception):
        def __bool__(self) -> bool:
            return False

    promise: Promise[int] = Promise()
    future = promise.future().to_concurrent()
    promise.reject(UntrueError("no"))

    with pytest.raises(UntrueError, match="no"):
        future.result(0)
    assert isinstance(future.exception(0), UntrueError)


def test_an_outcome_by_hand_stands() -> None:
    """The first outcome does, everywhere."""
    promise: Promise[int] = Promise()
    future = promise.future().to_concurrent()

    future.set_result(1)
    promise.resolve(2)

    assert future.result(0) == 1


def test_tasks_of_our_loop_can_be_waited_for_by_threads() -> None:
    """A handle of a task is a future like any other."""

    async def work() -> int:
        return 5

    with Executor() as executor:
        future = executor.spawn(work()).to_concurrent()
        executor.run_until_stalled()

    assert future.result(0) == 5


def test_nothing_is_kept_once_it_is_settled() -> None:
    """The value belongs to those who hold a future."""
    promise: Promise[int] = Promise()
    source = promise.future()
    future = source.to_concurrent()
    watched = weakref.ref(source)

    promise.resolve(3)
    del source, promise
    gc.collect()

    assert future.result(0) == 3
    assert watched() is None


# ---- asyncio ------------------------------------------------------------------------------


def test_asyncio_waits_for_jobs_by_its_own_means(pool: WorkerPool) -> None:
    """``wait``, ``gather``, ``as_completed``, ``wait_for``: they want its futures."""

    async def main() -> None:
        assert await asyncio.gather(*[pool.spawn(lambda: 1).to_asyncio() for _ in range(3)]) == [
            1,
            1,
            1,
        ]
        done, _ = await asyncio.wait([pool.spawn(lambda: 2).to_asyncio()], timeout=GUARD)
        assert [future.result() for future in done] == [2]
        for first in asyncio.as_completed([pool.spawn(lambda: 3).to_asyncio()]):
            assert await first == 3
        assert await asyncio.wait_for(pool.spawn(lambda: 4).to_asyncio(), GUARD) == 4
        assert await asyncio.wrap_future(pool.spawn(lambda: 5).to_concurrent()) == 5
        with pytest.raises(ZeroDivisionError):
            await pool.spawn(lambda: 1 // 0).to_asyncio()
        ready = pool.spawn(lambda: 6)
        ready.result(GUARD)
        assert ready.to_asyncio().result() == 6

    asyncio.run(main(), debug=True)


def test_who_waits_is_woken_before_callbacks_run(pool: WorkerPool) -> None:
    """One of them may wait for what comes after ``result()``."""
    gate: Gate[str] = Gate()
    done, results = threading.Event(), []
    job = pool.spawn(gate)
    job.add_done_callback(lambda _: results.append(done.wait(GUARD)))
    other = job.to_concurrent()
    reader = threading.Timer(0.01, gate.open)
    reader.start()

    assert job.result(GUARD) == "through"
    done.set()

    assert other.result(GUARD) == "through"
    assert pool.wait_idle(GUARD)
    reader.join()
    assert results == [True]


def test_callbacks_do_not_run_on_the_thread_that_watches_limits(pool: WorkerPool) -> None:
    """One that blocks would stop every limit in the process; asyncio's own only tell its loop."""
    gate: Gate[str] = Gate()
    seen: queue.Queue[str] = queue.Queue()
    job = pool.spawn(gate, timeout=0.01)
    future = job.to_concurrent()
    future.add_done_callback(lambda _: seen.put(threading.current_thread().name))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wrap_future(pool.spawn(gate, timeout=0.01).to_concurrent())

    assert isinstance(future.exception(GUARD), TimeoutError)
    assert seen.get(timeout=GUARD) == "vela-callbacks"
    asyncio.run(main(), debug=True)
    gate.open()


def test_asyncios_wait_refuses_the_future_itself(pool: WorkerPool) -> None:
    """Its callback would run on the worker's thread, and its loop would sleep for ever."""

    async def main() -> None:
        with pytest.raises(TypeError, match=r"\.to_asyncio\(\)"):
            await asyncio.wait([pool.spawn(lambda: 1)])  # type: ignore[type-var]  # as it says

    asyncio.run(main(), debug=True)


def test_cancelling_the_task_cancels_a_job_that_sleeps(pool: WorkerPool) -> None:
    """It waits for its own future, to be told to stop: that is nobody who wants its outcome."""
    begun = threading.Event()
    gone = threading.Event()

    def nap() -> None:
        begun.set()
        try:
            Worker.current().sleep(GUARD)
        except CancelRequestedError:
            gone.set()
            raise

    async def main() -> None:
        job = pool.spawn(nap)
        task = asyncio.ensure_future(job)
        await asyncio.sleep(0)  # it awaits
        await asyncio.to_thread(begun.wait, GUARD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert job.cancelled()
        assert await asyncio.to_thread(gone.wait, GUARD)

    asyncio.run(main())


def test_cancelling_the_task_cancels_the_job(pool: WorkerPool) -> None:
    """And a time limit of asyncio's is such a cancellation."""
    gate: Gate[str] = Gate()

    async def main() -> None:
        job = pool.spawn(gate)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job.to_asyncio(), 0.01)
        assert job.cancelled()

    asyncio.run(main(), debug=True)
    gate.open()


def test_cancelling_the_job_cancels_the_future_of_asyncio(pool: WorkerPool) -> None:
    """As ``wrap_future`` does: it is that loop's future, with that loop's cancellation."""
    gate: Gate[str] = Gate()

    async def main() -> None:
        job = pool.spawn(gate)
        future = job.to_asyncio()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main(), debug=True)
    gate.open()


def test_a_future_of_asyncio_can_be_asked_for_from_another_loop(pool: WorkerPool) -> None:
    """Its loop need not run yet; one that is closed is left alone."""
    loop = asyncio.new_event_loop()
    gates: list[Gate[str]] = [Gate(), Gate()]
    jobs = [pool.spawn(gate) for gate in gates]
    early, late = [job.to_asyncio(loop) for job in jobs]

    gates[0].open()
    assert loop.run_until_complete(early) == "through"
    loop.close()
    gates[1].open()

    assert jobs[1].result(GUARD) == "through"
    assert not late.done()
    with pytest.raises(RuntimeError, match="no running event loop"):
        _ = jobs[1].to_asyncio()


def test_stop_iteration_reaches_the_task_as_an_error(pool: WorkerPool) -> None:
    """Asyncio cannot carry it."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await pool.spawn(lambda: next(iter(()))).to_asyncio()

    asyncio.run(main())
