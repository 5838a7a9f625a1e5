"""The backend without threads: jobs run in the caller, one on top of the other."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import signal
import threading
from typing import Any

import pytest

from runtime.errors import BrokenPoolError, PoolShutdownError
from runtime.testing import race
from runtime.workers import Worker, WorkerPool
from runtime.workers.handle_state import HandleState, Outcome
from tests.unit.runtime.gates import GUARD, Gate, nothing


@pytest.fixture
def pool() -> WorkerPool:
    """A pool of the caller's own thread."""
    return WorkerPool(backend="inline")


def test_a_job_has_ended_when_spawn_returns(pool: WorkerPool) -> None:
    """On this very thread; nothing waits and nothing is left."""
    job = pool.spawn(threading.get_ident)

    assert job.result(0) == threading.get_ident()
    assert pool.get_active_count() == 0
    assert pool.wait_idle(0)


def test_jobs_nest_and_each_sees_itself() -> None:
    """After the inner one, the outer one is the current job again."""
    pool = WorkerPool(backend="inline")

    def outer() -> tuple[str, str, str]:
        before = Worker.current().name
        inner = pool.spawn(lambda: Worker.current().name, name="inner").result(0)
        return before, inner, Worker.current().name

    assert pool.spawn(outer, name="outer").result(0) == ("outer", "inner", "outer")


def test_while_it_runs_others_see_it(pool: WorkerPool) -> None:
    """Another thread may count it, cancel it, and wait for it."""
    gate: Gate[str] = Gate()
    thread = threading.Thread(target=lambda: pool.spawn(gate, name="gate"))
    thread.start()
    gate.wait_begun()

    assert [handle.name for handle in pool.get_active_handles()] == ["gate"]
    statistics = pool.statistics()
    assert (statistics.workers, statistics.running, statistics.queued) == (1, 1, 0)
    assert not pool.wait_idle(0)
    assert pool.cancel_all() == 1
    assert pool.statistics().abandoned_names[0][0] == "worker 1 'gate'"
    assert pool.wait_idle(0)  # nobody waits for what was abandoned

    gate.open()
    thread.join(GUARD)
    assert pool.statistics().abandoned == 0


def test_a_shutdown_waits_for_what_other_threads_run(pool: WorkerPool) -> None:
    """And refuses what comes later."""
    gate: Gate[str] = Gate()
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(pool.spawn(gate).result(0)))
    thread.start()
    gate.wait_begun()

    assert not pool.shutdown(timeout=0)
    with pytest.raises(PoolShutdownError):
        pool.spawn(nothing)
    gate.open()
    assert pool.shutdown(timeout=GUARD)

    thread.join(GUARD)
    assert ended == ["through"]


def test_a_job_neither_waits_for_itself_nor_for_those_below(pool: WorkerPool) -> None:
    """They cannot end before it does."""

    def inner() -> tuple[bool, bool]:
        return pool.wait_idle(GUARD), pool.shutdown()

    def outer() -> tuple[bool, bool]:
        return pool.spawn(inner).result(0)

    assert pool.spawn(outer).result(0) == (True, False)
    assert pool.shutdown()


def test_a_job_of_another_pool_may_wait_for_this_one(pool: WorkerPool) -> None:
    """Only a job of its own pool cannot."""
    with WorkerPool(1) as threads:
        assert threads.spawn(pool.shutdown).result(GUARD)


def test_a_job_that_is_over_before_it_begins_does_not_run(pool: WorkerPool) -> None:
    """Its time was up when it was spawned."""
    job = pool.spawn(nothing, timeout=0)

    assert job.handle.outcome is Outcome.NEVER_RAN


def test_the_initializer_runs_once_and_before_all_jobs() -> None:
    """Threads that come while it runs wait for it."""
    order: list[str] = []
    first, pause = threading.Event(), threading.Event()

    def prepare() -> None:
        first.set()
        assert pause.wait(GUARD)
        order.append("prepared")

    pool = WorkerPool(backend="inline", initializer=prepare)

    def second() -> None:
        assert first.wait(GUARD)
        threading.Timer(0.01, pause.set).start()
        pool.spawn(order.append, args=("job",))

    def first_one() -> None:
        pool.spawn(order.append, args=("job",))

    race(first_one, second)

    assert order == ["prepared", "job", "job"]


def test_an_initializer_may_spawn_on_its_own_pool() -> None:
    """It does not wait for itself."""
    seen: list[str] = []

    def prepare() -> None:
        own.spawn(seen.append, args=("own",))

    own = WorkerPool(backend="inline", initializer=prepare)

    own.spawn(seen.append, args=("job",))

    assert seen == ["own", "job"]


def test_an_initializer_that_raises_breaks_the_pool() -> None:
    """Every spawn says so; each error is its own."""

    def prepare() -> None:
        raise ValueError("no")

    pool = WorkerPool(backend="inline", initializer=prepare)

    with pytest.raises(
        BrokenPoolError, match=r"its initializer raised ValueError\('no'\)"
    ) as first:
        pool.spawn(nothing)
    with pytest.raises(BrokenPoolError) as second:
        pool.spawn(nothing)
    assert first.value is not second.value
    assert isinstance(first.value.__cause__, ValueError)


def test_ctrl_c_in_a_job_settles_it_and_is_raised_at_once() -> None:
    """It is the caller's own: nobody may ever read the future. And it is no failure left unread."""
    reports: list[object] = []
    with WorkerPool(backend="inline", on_unhandled=reports.append) as pool:
        jobs: list[Any] = []  # Any: futures

        def interrupted() -> None:
            jobs.extend(pool.get_active_handles())
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            pool.spawn(interrupted)

        assert [job.state for job in jobs] == [HandleState.FAILED]
        assert pool.statistics().failed == 1
        assert pool.wait_idle(0)
        assert pool.spawn(lambda: 1).result(0) == 1
        jobs.clear()
    gc.collect()
    assert reports == []


def test_a_keyboard_interrupt_on_another_thread_is_the_jobs_outcome() -> None:
    """No Ctrl-C comes there: the function raised it itself."""
    with WorkerPool(backend="inline") as pool:
        errors: list[BaseException | None] = []

        def raise_it() -> None:
            raise KeyboardInterrupt

        thread = threading.Thread(target=lambda: errors.append(pool.spawn(raise_it).exception(0)))
        thread.start()
        thread.join(GUARD)

        assert [type(error) for error in errors] == [KeyboardInterrupt]
