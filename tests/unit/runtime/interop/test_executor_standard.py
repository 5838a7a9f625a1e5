"""What the standard library's own tests of executors ask, where no other file here does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import textwrap
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor
from tests.unit.runtime.faults.children import run_program
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import (
    LengthlessError,
    UntrueError,
    fail_with,
    give,
    raise_bad,
    who,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.interop.concurrent import PoolExecutor


# ---- calls --------------------------------------------------------------------------------


def test_submit_needs_a_function(executor: PoolExecutor) -> None:
    """By position: the name of the parameter belongs to the function's own."""
    with pytest.raises(TypeError):
        executor.submit()  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError):
        executor.submit(arg=1)  # type: ignore[call-arg]  # what is tested


def test_map_makes_its_calls_though_nobody_takes_the_results(executor: PoolExecutor) -> None:
    """All of them, and `shutdown` waits for them."""
    numbers = iter(range(10))

    executor.map(give, numbers)

    assert list(numbers) == []
    executor.shutdown()
    assert executor.pool.statistics().succeeded == 10


@pytest.mark.parametrize("buffersize", [1, 2, 4, 8])
def test_a_buffer_changes_no_result(executor: PoolExecutor, buffersize: int) -> None:
    """Be it shorter than the iterables, as long, or longer; be there one, several, or none."""
    squares = executor.map(pow, range(4), itertools.repeat(2), buffersize=buffersize)

    assert list(squares) == [0, 1, 4, 9]
    assert list(executor.map(str, range(4), buffersize=buffersize)) == ["0", "1", "2", "3"]
    assert next(executor.map(str, [], buffersize=buffersize), None) is None
    assert next(executor.map(str, buffersize=buffersize), None) is None


def test_a_full_buffer_takes_no_more_of_the_iterable(executor: PoolExecutor) -> None:
    """However long nobody takes a result."""
    numbers = iter(range(4))

    executor.map(str, numbers, buffersize=2)

    executor.shutdown()
    assert next(numbers) == 2


@pytest.mark.parametrize("kind_of_error", [UntrueError, LengthlessError])
def test_an_error_that_is_not_true_is_an_error(
    executor: PoolExecutor, kind_of_error: type[Exception]
) -> None:
    """On every version, and for everybody who asks."""
    future = executor.submit(fail_with, kind_of_error("failed"))

    with pytest.raises(kind_of_error, match="failed"):
        future.result(GUARD)
    assert isinstance(future.exception(), kind_of_error)
    with pytest.raises(kind_of_error):
        list(executor.map(fail_with, [kind_of_error()]))

    async def main() -> None:
        await asyncio.wrap_future(executor.submit(fail_with, kind_of_error()))

    with pytest.raises(kind_of_error):
        asyncio.run(main())


# ---- futures ------------------------------------------------------------------------------


def test_a_thread_that_waits_is_told_of_a_cancellation(single: PoolExecutor, gate: Any) -> None:
    """Whichever way it waits."""
    single.submit(gate)
    gate.wait_begun()
    for ask in (concurrent.futures.Future.result, concurrent.futures.Future.exception):
        waiting = single.submit(give, 1)
        told: list[str] = []
        ready = threading.Event()

        def wait(
            ask: Callable[..., object] = ask,
            waiting: concurrent.futures.Future[int] = waiting,
            told: list[str] = told,
            ready: threading.Event = ready,
        ) -> None:
            ready.set()
            try:
                ask(waiting, GUARD)
            except concurrent.futures.CancelledError:
                told.append("cancelled")

        thread = threading.Thread(target=wait)
        thread.start()
        ready.wait(GUARD)
        assert waiting.cancel()
        thread.join(GUARD)

        assert told == ["cancelled"]
    gate.open()


def test_a_callback_that_comes_late_is_called_at_once(
    single: PoolExecutor, gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On the thread that brings it, after a result, an error and a cancellation alike."""
    failed, running = single.submit(raise_bad), single.submit(gate)
    gate.wait_begun()
    cancelled = single.submit(give, 1)
    assert cancelled.cancel()
    gate.open()
    concurrent.futures.wait([failed, running], timeout=GUARD)

    for future in (failed, running, cancelled):
        told: list[object] = []
        future.add_done_callback(lambda _: 1 // 0)
        future.add_done_callback(lambda f, told=told: told.extend((f, threading.get_ident())))  # type: ignore[misc]
        assert told == [future, threading.get_ident()]
    assert caplog.text.count("ZeroDivisionError: ") == 3


def test_as_completed_keeps_no_future_that_it_gave(executor: PoolExecutor) -> None:
    """So results can go one by one."""
    futures = [executor.submit(give, number) for number in range(4)]
    concurrent.futures.wait(futures, timeout=GUARD)
    assert executor.pool.wait_idle(GUARD)

    for future in concurrent.futures.as_completed(futures, timeout=GUARD):
        futures.remove(future)
        watched = weakref.ref(future)
        del future
        assert watched() is None


def test_who_gives_up_is_told_how_many_are_left(single: PoolExecutor, gate: Any) -> None:
    """Duplicates count once."""
    done, open_ = single.submit(give, 1), single.submit(gate)
    gate.wait_begun()

    with pytest.raises(TimeoutError, match=r"1 \(of 2\) futures unfinished"):
        list(concurrent.futures.as_completed([done, open_, open_], timeout=0.01))
    gate.open()


# ---- workers ------------------------------------------------------------------------------


def test_an_idle_worker_is_used_again_before_another_comes(
    new_executor: Callable[..., PoolExecutor],
) -> None:
    """However many there may be."""
    executor = new_executor(4)
    seen = set()
    for _ in range(4):
        seen.add(executor.submit(who).result(GUARD))
        assert executor.pool.wait_idle(GUARD)

    assert len(seen) == 1
    assert executor.pool.statistics().workers == 1


def test_no_more_workers_come_than_allowed(
    executor: PoolExecutor, new_gate: Callable[..., Any]
) -> None:
    """However much waits."""
    gates = [new_gate(), new_gate()]
    for gate in gates:
        executor.submit(gate)
    for gate in gates:
        gate.wait_begun()
    futures = [executor.submit(give, number) for number in range(30)]

    assert executor.pool.statistics().workers == 2
    for gate in gates:
        gate.open()
    assert [future.result(GUARD) for future in futures] == list(range(30))


def test_a_cancellation_just_before_shutdown_blocks_nothing(
    new_executor: Callable[..., PoolExecutor],
) -> None:
    """The one who would have run it may be asleep."""
    for _ in range(5):
        executor = new_executor(1)
        executor.submit(int).result(GUARD)
        last = executor.submit(int)
        last.cancel()
        executor.shutdown()
        assert last.done()


def test_no_worker_is_left_after_shutdown(executor: PoolExecutor) -> None:
    """Threads have returned, processes are gone."""
    assert sorted(executor.map(abs, range(-5, 5))) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]

    executor.shutdown()

    assert executor.pool.statistics().workers == 0
    assert executor.pool.statistics().children == ()


def test_what_map_has_taken_ends_though_nobody_holds_the_executor(kind: str) -> None:
    """Also where nobody waits for it."""
    for shut_down in (False, True):
        executor = {"threads": ThreadExecutor, "processes": ProcessExecutor}[kind](2)
        results, pool = executor.map(abs, range(-5, 5)), executor.pool
        if shut_down:
            executor.shutdown(wait=False)
        del executor

        assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
        assert pool.shutdown(timeout=GUARD)


# ---- programs -----------------------------------------------------------------------------


@pytest.mark.process
def test_a_program_may_put_ours_where_it_takes_the_standard_ones_from() -> None:
    """So libraries that make their own executors get ours too; our threads still start."""
    ended = run_program(
        """
        import concurrent.futures
        from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor
        concurrent.futures.ThreadPoolExecutor = ThreadExecutor
        concurrent.futures.ProcessPoolExecutor = ProcessExecutor
        import asyncio
        print(asyncio.run(asyncio.to_thread(pow, 2, 3)))
        with concurrent.futures.ProcessPoolExecutor(1) as executor:
            print(executor.submit(pow, 2, 5).result())
        """
    )

    assert (ended.status, ended.out.split(), ended.err) == (0, ["8", "32"], "")


@pytest.mark.process
def test_a_process_forked_by_a_job_ends_as_it_should() -> None:
    """It waits for no thread that is its parent's."""
    ended = run_program(
        """
        import multiprocessing, warnings
        from runtime.interop.concurrent import ThreadExecutor
        warnings.simplefilter("ignore")
        def fork():
            process = multiprocessing.get_context("fork").Process(target=int)
            process.start()
            process.join(20)
            return process.exitcode
        with ThreadExecutor(1) as executor:
            print(executor.submit(fork).result())
        """
    )

    assert (ended.status, ended.out.split(), ended.err) == (0, ["0"], "")


@pytest.mark.process
@pytest.mark.parametrize("name", ["ThreadExecutor", "ProcessExecutor"])
def test_what_shutdown_cancelled_does_not_run_at_exit(name: str) -> None:
    """What has begun ends; the status is the program's."""
    ended = run_program(
        textwrap.dedent(f"""
        from runtime.interop.concurrent import {name}
        def say(number):
            time.sleep(0.05)
            print(number, flush=True)
        executor = {name}(1)
        for number in range(3):
            executor.submit(say, number)
        executor.shutdown(wait=False, cancel_futures=True)
        sys.exit(7)
        """)
    )

    assert (ended.status, ended.err) == (7, "")
    assert ended.out.split() in ([], ["0"])
