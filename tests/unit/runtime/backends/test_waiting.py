"""Jobs that wait inside of their own pool: in place, with a lent thread, or refused (T5)."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from runtime.async_runtime import Executor, Promise
from runtime.backends import waiting
from runtime.backends.stacking import MAX_STACK
from runtime.errors import PoolDeadlockError
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.backends.inside import crew_of, wait_until
from tests.unit.runtime.gates import GUARD, Gate, nothing


def test_a_job_that_waits_for_a_queued_one_runs_it_in_place() -> None:
    """One worker is enough: the same thread does both, and each sees itself as current."""
    with WorkerPool(1) as pool:

        def inner() -> tuple[int, str]:
            return threading.get_ident(), Worker.current().name

        def outer() -> tuple[int, tuple[int, str], str]:
            found = pool.spawn(inner, name="inner").result()
            return threading.get_ident(), found, Worker.current().name

        thread, found, name = pool.spawn(outer, name="outer").result(GUARD)

        assert found == (thread, "inner")
        assert name == "outer"
        assert pool.statistics().workers == 1


@pytest.mark.parametrize("depth", [50, 300])
def test_nested_waits_end_on_one_worker(depth: int) -> None:
    """Beyond what one stack should hold, threads are lent."""
    with WorkerPool(1) as pool:

        def nest(left: int) -> int:
            return 0 if not left else 1 + pool.spawn(nest, args=(left - 1,)).result()

        assert pool.spawn(nest, args=(depth,)).result(GUARD) == depth
        wait_until(pool, lambda: crew_of(pool).lent == 0)
        assert pool.statistics().workers <= 2 + depth // MAX_STACK


def test_a_failure_in_place_is_the_inner_jobs_own() -> None:
    """The outer one reads it as from any future."""
    with WorkerPool(1) as pool:

        def fail() -> None:
            raise KeyError("inner")

        def outer() -> str:
            try:
                pool.spawn(fail).result()
            except KeyError as error:
                return f"caught {error}"
            return "nothing"

        assert pool.spawn(outer).result(GUARD) == "caught 'inner'"


def test_a_wait_with_a_limit_does_not_run_the_job_in_place() -> None:
    """It could take longer than the limit allows; a thread is lent instead."""
    with WorkerPool(1) as pool:
        idents: list[int] = []

        def outer() -> int:
            pool.spawn(lambda: idents.append(threading.get_ident())).result(GUARD)
            return threading.get_ident()

        assert pool.spawn(outer).result(GUARD) != idents[0]


def test_a_wait_for_a_running_job_lends_a_thread_for_those_that_wait() -> None:
    """Two workers wait, a third job must go on all the same; then the loan ends."""
    with WorkerPool(1) as pool:
        promise: Promise[str] = Promise()
        begun = threading.Event()

        def outer() -> str:
            begun.set()
            return promise.future().result()

        job = pool.spawn(outer)
        assert begun.wait(GUARD)

        assert pool.spawn(lambda: "beside it").result(GUARD) == "beside it"
        promise.resolve("done")
        assert job.result(GUARD) == "done"
        wait_until(pool, lambda: crew_of(pool).alive == 1)
        assert pool.statistics().lent == 0


def test_an_executor_inside_of_a_job_lends_its_thread_while_it_sleeps() -> None:
    """Awaiting in a job is waiting like any other."""
    with WorkerPool(1) as pool:

        def outer() -> str:
            async def main() -> str:
                return await pool.spawn(lambda: "inner")

            return Executor().run_until_complete(main())

        assert pool.spawn(outer).result(GUARD) == "inner"


def test_a_waiting_job_that_is_cancelled_makes_room_for_one_thread_not_two() -> None:
    """It is lent for and abandoned at once, and still holds one thread only."""
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate()

        def outer() -> str:
            return pool.spawn(gate).result(GUARD)  # with a limit: not in place

        job = pool.spawn(outer, cancel_on_abandon=False)
        gate.wait_begun()
        crew = crew_of(pool)
        before = crew.lent, crew.abandoned, crew.allowed
        job.cancel()
        during = crew.lent, crew.abandoned, crew.allowed
        gate.open()
        wait_until(pool, lambda: crew.abandoned == 0)

        assert before == (1, 0, 2)
        assert during == (1, 1, 2)
        assert (crew.lent, crew.allowed) == (0, 1)


def test_at_the_cap_a_wait_makes_way_for_the_jobs_that_wait() -> None:
    """No thread may be lent: the waiting one runs what is queued, whichever comes."""
    with WorkerPool(1, max_lent=0) as pool:
        promise: Promise[str] = Promise()

        def resolve() -> None:
            promise.resolve("by the next job")

        def outer() -> str:
            pool.spawn(resolve)
            return promise.future().result()

        assert pool.spawn(outer).result(GUARD) == "by the next job"


def test_at_the_cap_with_nothing_to_run_the_thread_blocks() -> None:
    """There is nothing better to do."""
    with WorkerPool(1, max_lent=0) as pool:
        promise: Promise[str] = Promise()
        begun = threading.Event()

        def outer() -> str:
            begun.set()
            return promise.future().result()

        job = pool.spawn(outer)
        assert begun.wait(GUARD)
        promise.resolve("from outside")

        assert job.result(GUARD) == "from outside"


def test_a_job_settled_by_somebody_else_at_the_last_moment_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over, but not yet published: it must not look like a wait that took too long."""
    with WorkerPool(1) as pool:
        job_box: list[Any] = []  # Any: the future
        published = threading.Event()

        def run_in_place(_slot: object, _job: object) -> bool:

            def cancel() -> None:
                job_box[0].cancel()
                published.set()

            threading.Timer(0.01, cancel).start()
            return True  # it ran, somebody else's outcome stands, and is not there yet

        monkeypatch.setattr(waiting, "run_in_place", run_in_place)

        def outer() -> str:
            job_box.append(pool.spawn(nothing, timeout=100))
            with crew_of(pool).lock:
                crew_of(pool).queue.remove(job_box[0])
            error = job_box[0].exception()
            return type(error).__name__

        assert pool.spawn(outer).result(GUARD) == "CancellationError"
        assert published.wait(GUARD)


class TestCircles:
    """Jobs that wait for each other."""

    def test_two_jobs_that_wait_for_each_other_are_told_at_once(self) -> None:
        """The chain with its places is in the message; both end."""
        with WorkerPool(2) as pool:
            box: dict[str, Any] = {}  # Any: futures
            ready = threading.Event()

            def wait_for(name: str) -> object:
                assert ready.wait(GUARD)
                return box[name].result()

            box["a"] = pool.spawn(wait_for, name="a", args=("b",))
            box["b"] = pool.spawn(wait_for, name="b", args=("a",))
            begin = time.monotonic()
            ready.set()

            error = box["a"].exception(GUARD)
            assert time.monotonic() - begin < GUARD / 2  # the target is 50 ms; see the slow tests
            assert isinstance(error, PoolDeadlockError)
            assert isinstance(box["b"].exception(GUARD), PoolDeadlockError)
            message = str(error)
            assert "worker 1 'a' (spawned at " in message
            assert "waits for worker " in message
            assert message.count("test_waiting.py:") == 3
            assert message.endswith("let one of them return before the other is awaited")

    def test_a_circle_through_two_pools_is_one(self) -> None:
        """The graph is the process's, not the pool's."""
        with WorkerPool(1, name="first") as first, WorkerPool(1, name="second") as second:
            box: dict[str, Any] = {}  # Any: futures
            ready = threading.Event()

            def wait_for(name: str) -> object:
                assert ready.wait(GUARD)
                return box[name].result()

            box["a"] = first.spawn(wait_for, args=("b",))
            box["b"] = second.spawn(wait_for, args=("a",))
            ready.set()

            assert isinstance(box["a"].exception(GUARD), PoolDeadlockError)

    def test_a_job_that_waits_for_itself_is_told(self) -> None:
        """The shortest circle."""
        with WorkerPool(1) as pool:
            box: list[Any] = []  # Any: futures
            ready = threading.Event()

            def wait() -> object:
                assert ready.wait(GUARD)
                return box[0].result()

            box.append(pool.spawn(wait))
            ready.set()

            with pytest.raises(PoolDeadlockError):
                box[0].result(GUARD)

    def test_a_job_on_top_that_waits_for_the_one_below_is_told(self) -> None:
        """It runs on the very thread that it waits for."""
        with WorkerPool(1) as pool:
            box: list[Any] = []  # Any: futures
            ready = threading.Event()

            def inner() -> object:
                return box[0].result()

            def outer() -> object:
                assert ready.wait(GUARD)
                return pool.spawn(inner).result()

            box.append(pool.spawn(outer))
            ready.set()

            with pytest.raises(PoolDeadlockError, match=r"which runs below .* on the same thread"):
                box[0].result(GUARD)

    def test_a_circle_that_closes_while_another_job_runs_on_top_is_seen_afterwards(self) -> None:
        """The wait below does not count meanwhile; when it goes on, it is looked at again."""
        with WorkerPool(2, max_lent=0) as pool:
            box: dict[str, Any] = {}  # Any: futures
            on_top: Gate[str] = Gate()
            a_waits, b_may_wait = threading.Event(), threading.Event()

            def a() -> object:
                a_waits.wait(GUARD)
                return box["b"].result()  # at the cap: the gate runs on top of it

            def b() -> object:
                b_may_wait.wait(GUARD)
                return box["a"].result()

            box["a"], box["b"] = pool.spawn(a), pool.spawn(b)
            gated = pool.spawn(on_top)
            a_waits.set()
            on_top.wait_begun()
            b_may_wait.set()
            slots = crew_of(pool).slots
            begin = time.monotonic()
            while not any(slot.waits_for is box["a"] for slot in slots):
                assert time.monotonic() - begin < GUARD
            on_top.open()

            assert gated.result(GUARD) == "through"
            assert isinstance(box["a"].exception(GUARD), PoolDeadlockError)
            assert isinstance(box["b"].exception(GUARD), PoolDeadlockError)

    def test_a_wait_with_a_limit_is_no_part_of_a_circle(self) -> None:
        """It ends by itself, and then the other one goes on."""
        with WorkerPool(2) as pool:
            box: dict[str, Any] = {}  # Any: futures
            ready = threading.Event()

            def a() -> str:
                assert ready.wait(GUARD)
                try:
                    return str(box["b"].result(0.01))
                except TimeoutError:
                    return "gave up"

            def b() -> str:
                assert ready.wait(GUARD)
                return str(box["a"].result())

            box["a"], box["b"] = pool.spawn(a), pool.spawn(b)
            ready.set()

            assert box["b"].result(GUARD) == "gave up"

    def test_after_a_fork_the_graph_has_a_lock_of_its_own(self) -> None:
        """Another thread of the parent may have held it."""
        before = waiting._graph[0]

        waiting.reset_after_fork()

        assert waiting._graph[0] is not before


def test_a_job_that_waits_for_its_pools_idleness_does_not_wait_for_itself() -> None:
    """It waits for the others, and lends its thread meanwhile."""
    with WorkerPool(1) as pool:
        ran = threading.Event()

        def outer() -> bool:
            pool.spawn(ran.set)
            return pool.wait_idle(GUARD)

        assert pool.spawn(outer).result(GUARD)
        assert ran.is_set()


def test_a_job_cannot_wait_for_the_end_of_its_own_thread() -> None:
    """It is told so at once, and the pool ends when the job does."""
    pool = WorkerPool(1)

    assert pool.spawn(pool.shutdown).result(GUARD) is False

    assert pool.shutdown()
