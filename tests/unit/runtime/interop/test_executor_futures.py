"""Futures of executors: states, waiting for several, callbacks, errors; on both kinds."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import traceback
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import race
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import BadError, give, raise_bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.interop.concurrent import PoolExecutor


def test_a_future_is_pending_then_running_then_done(
    single: PoolExecutor, new_gate: Callable[..., Any]
) -> None:
    """What is asked of it is what its job does."""
    gate = new_gate()
    first, second = single.submit(gate), single.submit(give, 2)
    gate.wait_begun()

    assert (first.running(), first.done()) == (True, False)
    assert (second.running(), second.done()) == (False, False)
    assert "state=running" in repr(first)
    assert "state=pending" in repr(second)
    gate.open()
    assert (first.result(GUARD), second.result(GUARD)) == ("through", 2)
    assert (first.running(), first.done(), first.cancelled()) == (False, True, False)
    assert "returned str" in repr(first)


def test_what_waits_can_be_cancelled_and_never_runs(
    single: PoolExecutor, new_gate: Callable[..., Any]
) -> None:
    """Twice is the same as once; who waits is told at once, not when a worker comes by."""
    gate, never = new_gate(), new_gate()
    first, second = single.submit(gate), single.submit(never.tell_begun)
    gate.wait_begun()

    assert (second.cancel(), second.cancel()) == (True, True)

    assert (second.cancelled(), second.done(), second.running()) == (True, True, False)
    assert concurrent.futures.wait([second], timeout=GUARD).done == {second}
    with pytest.raises(concurrent.futures.CancelledError):
        second.result(0)
    with pytest.raises(concurrent.futures.CancelledError):
        second.exception(0)
    gate.open()
    assert first.result(GUARD) == "through"
    assert single.submit(give, 3).result(GUARD) == 3
    assert single.pool.statistics().cancelled == 1


def test_what_runs_or_has_ended_cannot_be_cancelled(single: PoolExecutor, gate: Any) -> None:
    """As the standard library's: the pool's own futures go further."""
    future = single.submit(gate)
    gate.wait_begun()

    assert future.cancel() is False
    gate.open()
    assert future.result(GUARD) == "through"
    assert future.cancel() is False
    assert future.cancelled() is False


def test_a_job_that_the_pool_cancels_is_a_cancelled_future(single: PoolExecutor, gate: Any) -> None:
    """Also one that runs: the pool can do what the future does not offer."""
    future = single.submit(gate)
    gate.wait_begun()

    single.pool.cancel_all()

    assert future.cancelled()
    gate.open()


@pytest.mark.parametrize("mode", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_knows_every_way_to_end(
    executor: PoolExecutor, new_gate: Callable[..., Any], mode: str
) -> None:
    """Finished, failed, cancelled, and the same one twice."""
    gates = [new_gate(), new_gate()]
    running = [executor.submit(gate) for gate in gates]
    for gate in gates:
        gate.wait_begun()
    late = executor.submit(raise_bad)
    cancelled = executor.submit(give, 1)
    assert cancelled.cancel()
    futures = [*running, late, cancelled, running[0]]

    opener = threading.Timer(0.05, lambda: [gate.open() for gate in gates])
    opener.start()
    done, not_done = concurrent.futures.wait(futures, timeout=GUARD, return_when=mode)
    opener.join(GUARD)

    assert done | not_done == set(futures)
    assert cancelled in done
    if mode == ALL_COMPLETED:
        assert not not_done
    elif mode == FIRST_COMPLETED:
        assert done == {cancelled}
    else:
        assert late in done
    assert concurrent.futures.wait(futures, timeout=GUARD).not_done == set()


def test_wait_gives_up_in_time(single: PoolExecutor, gate: Any) -> None:
    """What is not done is told."""
    done, open_ = single.submit(give, 1), single.submit(gate)
    gate.wait_begun()

    assert concurrent.futures.wait([done, open_], timeout=0.05) == ({done}, {open_})
    with pytest.raises(TimeoutError):
        open_.result(0.01)
    with pytest.raises(TimeoutError):
        open_.exception(0.0)
    with pytest.raises(TimeoutError):
        list(concurrent.futures.as_completed([open_], timeout=0.0))
    gate.open()


def test_as_completed_gives_each_once(executor: PoolExecutor, gate: Any) -> None:
    """Those that were done before, those that are done meanwhile, duplicates, cancelled ones."""
    early, late = executor.submit(give, 1), executor.submit(gate)
    gate.wait_begun()
    assert early.result(GUARD) == 1
    threading.Timer(0.02, gate.open).start()

    found = list(concurrent.futures.as_completed([early, late, late], timeout=GUARD))

    assert found == [early, late]


def test_many_futures_are_waited_for_while_they_end(executor: PoolExecutor) -> None:
    """Whoever settles one and whoever asks meet at every moment."""
    for _ in range(20):
        futures = [executor.submit(give, number) for number in range(20)]
        assert concurrent.futures.wait(futures, timeout=GUARD).not_done == set()
        futures = [executor.submit(give, number) for number in range(20)]
        found = list(concurrent.futures.as_completed(futures, timeout=GUARD))
        assert sorted(f.result(0) for f in found) == list(range(20))


def test_callbacks_run_once_each_whenever_they_come(
    executor: PoolExecutor, gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In order; one that raises does not stop the others, nor the worker."""
    seen: list[object] = []
    future = executor.submit(gate)
    future.add_done_callback(lambda f: seen.append(("first", f)))
    future.add_done_callback(lambda _: 1 // 0)
    future.add_done_callback(lambda f: seen.append(("third", f.result())))
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())

    gate.open()

    assert ended.wait(GUARD)
    future.add_done_callback(lambda _: seen.append("late"))
    assert seen == [("first", future), ("third", "through"), "late"]
    assert "ZeroDivisionError" in caplog.text


def test_a_callback_that_exits_ends_no_worker(
    single: PoolExecutor, gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool's thread is nobody's to end."""
    future = single.submit(gate)
    future.add_done_callback(lambda _: exit(3))  # noqa: PLR1722 - SystemExit, without an import
    gate.open()

    assert future.result(GUARD) == "through"
    assert single.submit(give, 2).result(GUARD) == 2
    assert "the worker goes on" in caplog.text


def test_callbacks_may_submit_cancel_and_wait(single: PoolExecutor, gate: Any) -> None:
    """On whichever thread they run."""
    made: list[concurrent.futures.Future[int]] = []
    told = threading.Event()

    def more(future: concurrent.futures.Future[Any]) -> None:
        assert concurrent.futures.wait([future], timeout=GUARD).done
        made.append(single.submit(give, 5))
        told.set()

    single.submit(gate)
    gate.wait_begun()
    waiting = single.submit(give, 4)
    waiting.add_done_callback(more)
    assert waiting.cancel()
    gate.open()

    assert told.wait(GUARD)
    assert made[0].result(GUARD) == 5


def test_an_error_arrives_as_it_was_raised(executor: PoolExecutor) -> None:
    """Type, arguments, notes and the worker's frames; the same object for each reader."""
    futures = [executor.submit(raise_bad, 7), executor.submit(raise_bad, 7)]

    with pytest.raises(BadError) as caught:
        futures[0].result(GUARD)

    error = futures[0].exception(GUARD)
    assert error is caught.value
    assert (error.args, error.__notes__) == (("bad", 7), ["noted"])
    assert "in raise_bad" in "".join(traceback.format_exception(error))
    assert futures[1].exception(GUARD) is not error


def test_an_outcome_by_hand_is_the_jobs(single: PoolExecutor, new_gate: Callable[..., Any]) -> None:
    """There is one truth: what is settled by hand never runs."""
    gate = new_gate()
    single.submit(gate)
    gate.wait_begun()
    never = new_gate()
    valued, failed = single.submit(never.tell_begun), single.submit(never.tell_begun)

    valued.set_result(3)
    failed.set_exception(BadError("by hand"))
    gate.open()

    assert valued.set_running_or_notify_cancel() is True
    assert valued.result(GUARD) == 3
    with pytest.raises(BadError, match="by hand"):
        failed.result(GUARD)
    with pytest.raises(concurrent.futures.InvalidStateError):
        valued.set_result(None)
    with pytest.raises(concurrent.futures.InvalidStateError):
        failed.set_exception(BadError())
    assert single.submit(give, 1).result(GUARD) == 1
    assert single.pool.wait_idle(GUARD)


def test_cancelling_from_many_threads_agrees(
    single: PoolExecutor, new_gate: Callable[..., Any]
) -> None:
    """Each is told the same."""
    gate = new_gate()
    single.submit(gate)
    gate.wait_begun()
    for _ in range(20):
        waiting = single.submit(give, 1)
        assert set(race(*[waiting.cancel] * 4)) == {True}
        assert waiting.cancelled()
    gate.open()


def test_asyncio_wraps_them_and_cancels_both_ways(single: PoolExecutor, gate: Any) -> None:
    """``wrap_future`` and ``run_in_executor`` are what asyncio has for executors."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(single, gate)
        await asyncio.to_thread(gate.wait_begun)
        waiting = single.submit(give, 1)
        wrapped = asyncio.wrap_future(waiting)
        wrapped.cancel()
        await asyncio.wait([wrapped])
        assert waiting.cancelled()
        other = single.submit(give, 2)
        wrapped = asyncio.wrap_future(other)
        assert other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        gate.open()
        assert await running == "through"

    asyncio.run(main())
