"""How executors end: shutdown, the last reference, the end of the program; on both kinds."""

from __future__ import annotations

import textwrap
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.thread_source import ThreadSource
from runtime.errors import WorkerStartError
from runtime.interop.concurrent import PoolExecutor, ProcessExecutor, ThreadExecutor
from runtime.testing import race
from runtime.workers import WorkerPool
from tests.unit.runtime.faults.children import run_program
from tests.unit.runtime.gates import GUARD, Gate
from tests.unit.runtime.interop.jobs_here import give

if TYPE_CHECKING:
    from collections.abc import Callable


def test_after_shutdown_nothing_more_is_taken(executor: PoolExecutor) -> None:
    """With the words that programs look for."""
    done = executor.submit(give, 1)
    executor.shutdown()
    executor.shutdown()

    assert done.result(0) == 1
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(give, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(give, [1])
    assert executor.pool.is_shutdown()
    assert "shut down" in repr(executor)


def test_a_pool_that_others_shut_down_is_one_that_takes_nothing(executor: PoolExecutor) -> None:
    """The same words, whoever did it."""
    executor.pool.shutdown()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(give, 1)


def test_shutdown_waits_for_all_that_was_taken(new_executor: Callable[..., PoolExecutor]) -> None:
    """Also in a ``with`` block, also under an error, as the standard library's."""
    executor = new_executor(2)
    with suppress(KeyError), executor:
        futures = [executor.submit(give, number) for number in range(50)]
        raise KeyError

    assert [f.done() for f in futures] == [True] * 50
    assert [f.result(0) for f in futures] == list(range(50))


def test_shutdown_returns_when_its_threads_have_ended() -> None:
    """What each of them holds is released then, also where another pool keeps threads."""
    released: list[int] = []
    here = threading.local()
    met = threading.Barrier(2)

    class Resource:
        def __del__(self) -> None:
            released.append(1)

    def open_one() -> None:
        here.resource = Resource()

    def work(_: int) -> threading.Thread:
        met.wait(GUARD)
        return threading.current_thread()

    with WorkerPool(1) as other:
        assert other.spawn(give, args=(1,)).result(GUARD) == 1
        for _ in range(20):
            released.clear()
            executor = ThreadExecutor(2, initializer=open_one)
            threads = list(executor.map(work, range(2)))

            executor.shutdown()

            assert [thread.is_alive() for thread in threads] == [False, False]
            assert released == [1, 1]
        assert other.spawn(give, args=(2,)).result(GUARD) == 2


def test_shutdown_without_waiting_returns_at_once_and_the_work_ends(
    single: PoolExecutor, gate: Any
) -> None:
    """Nothing that was accepted is lost."""
    futures = [single.submit(gate), single.submit(give, 2)]
    gate.wait_begun()

    single.shutdown(wait=False)

    assert not futures[1].done()
    gate.open()
    assert [f.result(GUARD) for f in futures] == ["through", 2]


def test_shutdown_can_cancel_what_waits(single: PoolExecutor, gate: Any) -> None:
    """What runs ends by itself; the callbacks of both are called."""
    told: list[object] = []
    running, *waiting = [single.submit(gate), *(single.submit(give, n) for n in range(10))]
    for future in (running, *waiting):
        future.add_done_callback(told.append)
    gate.wait_begun()

    single.shutdown(wait=False, cancel_futures=True)

    assert [f.cancelled() for f in waiting] == [True] * 10
    assert set(told) == set(waiting)
    gate.open()
    assert running.result(GUARD) == "through"


def test_shutdown_from_many_threads_at_once(executor: PoolExecutor) -> None:
    """All of them return when the work has ended."""
    futures = [executor.submit(give, number) for number in range(20)]

    race(*[executor.shutdown] * 4)

    assert all(f.done() for f in futures)


def test_submits_that_race_with_shutdown_run_or_are_refused(
    new_executor: Callable[..., PoolExecutor],
) -> None:
    """No future that was given stays open."""
    executor = new_executor(2)
    accepted: list[Any] = []

    def submit() -> None:
        with suppress(RuntimeError):
            accepted.extend(executor.submit(give, number) for number in range(200))

    race(submit, submit, executor.shutdown)

    assert all(isinstance(f.result(GUARD), int) for f in accepted)


def test_an_executor_that_nobody_holds_ends_its_work_and_goes(kind: str, gate: Any) -> None:
    """The futures need it until then."""
    executor = {"threads": ThreadExecutor, "processes": ProcessExecutor}[kind](1)
    watched, pool = weakref.ref(executor), executor.pool
    futures = [executor.submit(gate), executor.submit(give, 2)]
    gate.wait_begun()

    del executor
    gate.open()

    assert [f.result(GUARD) for f in futures] == ["through", 2]
    pool.wait_idle(GUARD)
    assert watched() is None
    assert pool.shutdown(timeout=GUARD)


def test_a_lent_pool_outlives_its_executor() -> None:
    """It belongs to somebody else; only what went through the executor is waited for."""
    with WorkerPool(2) as pool:
        gate: Gate[str] = Gate()
        other = pool.spawn(gate)
        gate.wait_begun()
        with PoolExecutor(pool) as executor:
            mine = executor.submit(give, 1)

        assert mine.done()
        assert not other.done()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(give, 1)
        assert PoolExecutor(pool).submit(give, 3).result(GUARD) == 3
        gate.open()
        assert other.result(GUARD) == "through"


def test_a_job_may_shut_its_own_executor_down(executor: PoolExecutor) -> None:
    """It does not wait for itself, whether the pool is its own or lent."""
    if isinstance(executor, ThreadExecutor):
        with PoolExecutor(executor.pool) as lent:
            assert lent.submit(lent.shutdown).result(GUARD) is None
        assert executor.submit(executor.shutdown).result(GUARD) is None


def test_a_job_that_shuts_a_lent_executor_down_waits_for_the_others() -> None:
    """With one worker, what waits behind it runs in place."""
    with WorkerPool(1) as pool:
        executor = PoolExecutor(pool)
        gate: Gate[str] = Gate()
        seen: list[int] = []

        def last() -> list[int]:
            gate()
            executor.shutdown()
            return list(seen)

        future = executor.submit(last)
        gate.wait_begun()
        executor.submit(seen.append, 1)
        gate.open()

        assert future.result(GUARD) == [1]


def test_a_worker_that_cannot_be_started_is_an_error_of_submit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the standard library; and the executor recovers."""

    def refuse(*_: object) -> None:
        raise WorkerStartError("no threads today")

    with ThreadExecutor(1) as executor:
        with monkeypatch.context() as patch:
            patch.setattr(ThreadSource, "start", refuse)
            with pytest.raises(WorkerStartError, match="no threads today"):
                executor.submit(give, 1)
        assert executor.submit(give, 2).result(GUARD) == 2


def test_only_a_pool_can_be_lent() -> None:
    """The error names what to take instead."""
    with pytest.raises(TypeError, match=r"needs a WorkerPool, got 3 .*ThreadExecutor"):
        PoolExecutor(3)  # type: ignore[arg-type]  # what is tested


PROGRAM = """
    from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor
    def say(number):
        time.sleep(0.05)
        print(number, flush=True)
    executor = KIND(1)
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["ThreadExecutor", "ProcessExecutor"])
@pytest.mark.parametrize("last", ["", "del executor", "executor.shutdown(wait=False)"])
def test_accepted_work_ends_before_the_program_does(name: str, last: str) -> None:
    """Nobody waited for it, and nothing is written to stderr; the status is the program's."""
    before = textwrap.dedent(PROGRAM).replace("KIND", name)
    ended = run_program(
        f"for number in range(3): _ = executor.submit(say, number)\n{last}\nsys.exit(7)",
        before=before,
    )

    assert (ended.status, ended.out.split(), ended.err) == (7, ["0", "1", "2"], "")


@pytest.mark.process
@pytest.mark.parametrize("name", ["ThreadExecutor", "ProcessExecutor"])
def test_submit_while_the_program_ends_is_refused(name: str) -> None:
    """By the error that the standard library has for it."""
    program = """
        def late():
            try: executor.submit(say, 1)
            except RuntimeError as error: print(error)
        executor.submit(say, 0)
        from runtime.interop import endings
        atexit.unregister(endings._at_exit)
        atexit.register(late)  # runs after the executors' own
        atexit.register(endings._at_exit)
    """
    ended = run_program(
        textwrap.dedent(program), before=textwrap.dedent(PROGRAM).replace("KIND", name)
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == ["0", "cannot schedule new futures after shutdown"]


@pytest.mark.process
def test_a_forked_child_fails_what_runs_in_its_parent_and_works_itself() -> None:
    """It cannot wait for threads that it does not have."""
    ended = run_program(
        """
        import warnings
        from concurrent.futures import wait
        from runtime.errors import ForkedError
        from runtime.interop.concurrent import ThreadExecutor
        warnings.simplefilter("ignore")
        executor = ThreadExecutor(1)
        event = threading.Event()
        running, waiting = executor.submit(event.wait), executor.submit(int)
        child = os.fork()
        if child == 0:
            assert isinstance(running.exception(5), ForkedError)
            assert not wait([running, waiting], timeout=5).not_done
            assert executor.submit(pow, 2, 3).result(5) == 8
            executor.shutdown()
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        event.set()
        assert (running.result(5), waiting.result(5)) == (True, 0)
        print("parent")
        """
    )

    assert (ended.status, ended.out.split(), ended.err) == (0, ["child", "parent"], "")
