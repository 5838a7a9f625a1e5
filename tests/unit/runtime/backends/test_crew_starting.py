"""Threads that cannot be started, and initializers that raise: never a silent hang (T8, T12)."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.thread_source import ThreadSource
from runtime.errors import BrokenPoolError, WorkerStartError
from runtime.testing import race
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import crew_of, wait_until
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from collections.abc import Callable


class _Source(ThreadSource):
    """Refuses to start threads where the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self.meanwhile: Callable[[], object] = nothing

    def start(self, main: Callable[[], None], owner: object = None) -> None:
        meanwhile, self.meanwhile = self.meanwhile, nothing
        meanwhile()
        if self.error is not None:
            raise self.error
        super().start(main, owner)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> _Source:
    """Where threads come from in this test."""
    source = _Source()
    monkeypatch.setattr("runtime.backends.crew.thread_source", lambda: source)
    return source


LIMIT = WorkerStartError("no worker thread could be started (can't start new thread)")


def test_without_any_thread_the_spawn_fails_and_later_ones_may_work(source: _Source) -> None:
    """The limit is reached now; it may not be in a minute."""
    with WorkerPool(2) as pool:
        source.error = LIMIT
        with pytest.raises(WorkerStartError, match="can't start new thread"):
            pool.spawn(nothing)

        assert pool.statistics().workers == 0
        assert pool.statistics().queued == 0
        source.error = None
        assert pool.spawn(lambda: "works").result(GUARD) == "works"


def test_with_one_thread_the_jobs_run_on_that_one(
    source: _Source, caplog: pytest.LogCaptureFixture
) -> None:
    """Slower, but all of them; the log says it once and not for each spawn."""
    with WorkerPool(4, name="the small pool") as pool:
        gate: Gate[str] = Gate()
        first = pool.spawn(gate)
        gate.wait_begun()
        source.error = LIMIT

        jobs = [pool.spawn(lambda i=i: i) for i in range(5)]
        gate.open()

        assert first.result(GUARD) == "through"
        assert [job.result(GUARD) for job in jobs] == list(range(5))
        told = [line for line in caplog.messages if "goes on with 1 thread(s)" in line]
        assert len(told) == 1
        assert told[0].startswith("the small pool")


def test_a_job_that_relied_on_a_thread_which_did_not_start_is_refused(source: _Source) -> None:
    """It was accepted while another spawn was starting the only thread: nobody would run it."""
    with WorkerPool(1) as pool:
        accepted = []
        source.error = LIMIT
        source.meanwhile = lambda: accepted.append(pool.spawn(nothing))

        with pytest.raises(WorkerStartError):
            pool.spawn(nothing)

        with pytest.raises(WorkerStartError, match="can't start new thread"):
            accepted[0].result(GUARD)
        assert pool.statistics().queued == 0


def test_a_last_thread_that_leaves_jobs_and_finds_no_successor_refuses_them(
    source: _Source,
) -> None:
    """The initializer's thread leaves, jobs came meanwhile, none can be started for them."""
    with WorkerPool(1) as pool:
        crew = crew_of(pool)
        gate: Gate[str] = Gate()
        pool.spawn(gate)
        gate.wait_begun()
        waiting = pool.spawn(nothing)
        source.error = LIMIT
        with crew.lock:
            crew.allowed = 0  # as if it were one too many
        source.meanwhile = nothing
        gate.open()
        wait_until(pool, lambda: crew.alive == 0)
        with crew.lock:
            crew.allowed = 1

        crew.serve()

        with pytest.raises(WorkerStartError):
            waiting.result(GUARD)


def test_an_interrupt_in_the_middle_of_a_start_leaves_the_books_right(source: _Source) -> None:
    """The place of the thread that did not start is free; who waits for it gets another one."""
    with WorkerPool(1) as pool:
        accepted = []
        source.error = KeyboardInterrupt()

        def meanwhile() -> None:
            accepted.append(pool.spawn(lambda: "runs"))
            source.meanwhile = mend

        def mend() -> None:
            source.error = None

        source.meanwhile = meanwhile
        with pytest.raises(KeyboardInterrupt):
            pool.spawn(nothing)

        assert accepted[0].result(GUARD) == "runs"
        assert pool.statistics().workers == 1


def test_an_interrupt_after_the_thread_runs_leaves_it_running(
    source: _Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, and the thread does what it was started for."""
    with WorkerPool(1) as pool:
        crew = crew_of(pool)

        def start(main: Callable[[], None], _: object) -> None:
            ThreadSource.start(source, main)
            assert crew.watchers.wait(lambda: len(crew.idle) == 1, GUARD)
            raise KeyboardInterrupt

        monkeypatch.setattr(source, "start", start)
        with pytest.raises(KeyboardInterrupt):
            pool.spawn(nothing)

        assert pool.spawn(lambda: "runs").result(GUARD) == "runs"
        assert pool.statistics().workers == 1


def test_a_thread_whose_start_was_taken_back_does_nothing(
    source: _Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to life when its place is given away: it must not run jobs beside the others."""
    with WorkerPool(1) as pool:
        late: list[Callable[[], None]] = []

        def start(main: Callable[[], None], _: object) -> None:
            late.append(main)
            raise LIMIT

        with monkeypatch.context() as patch:
            patch.setattr(source, "start", start)
            with pytest.raises(WorkerStartError):
                pool.spawn(nothing)
        thread = threading.Thread(target=late[0])
        thread.start()
        thread.join(GUARD)

        assert pool.statistics().workers == 0
        assert pool.spawn(lambda: "runs").result(GUARD) == "runs"


@pytest.mark.usefixtures("eager_thread_switches")
def test_spawns_from_many_threads_start_no_more_threads_than_allowed() -> None:
    """The place is reserved before the thread is started."""
    with WorkerPool(2) as pool:
        seen = [
            pool_size
            for _ in range(20)
            for pool_size in race(*[lambda: _spawn_and_count(pool)] * 4)
        ]

        assert max(seen) <= 2


def _spawn_and_count(pool: WorkerPool) -> int:
    pool.spawn(nothing).result(GUARD)
    return pool.statistics().workers


class TestInitializer:
    """Called on each thread before its first job."""

    def test_it_runs_on_each_worker_before_its_first_job(self) -> None:
        """What it leaves in the thread is there for the jobs."""
        local = threading.local()

        def prepare(word: str) -> None:
            local.word = word

        with WorkerPool(2, initializer=prepare, initargs=("ready",)) as pool:
            assert [pool.spawn(lambda: local.word).result(GUARD) for _ in range(4)] == ["ready"] * 4

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
    def test_if_it_raises_everybody_who_has_a_job_is_told(self, error: BaseException) -> None:
        """Nobody waits for a thread that will never come; each gets an error of its own."""
        may_fail = threading.Event()

        def prepare() -> None:
            assert may_fail.wait(GUARD)
            raise error

        with WorkerPool(1, initializer=prepare, name="the pool") as pool:
            jobs = [pool.spawn(nothing) for _ in range(3)]
            may_fail.set()

            errors = [job.exception(GUARD) for job in jobs]
            for one in errors:
                assert isinstance(one, BrokenPoolError)
                assert "the pool is broken: its initializer raised" in str(one)
                assert type(one.__cause__) is type(error)
            assert len({id(one) for one in errors}) == 3
            with pytest.raises(BrokenPoolError, match="mend the initializer"):
                pool.spawn(nothing)

    def test_what_it_raised_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Perhaps nobody looks at the futures; and each thread may raise its own."""
        both = threading.Barrier(2)

        def prepare() -> None:
            both.wait(GUARD)
            raise ValueError("no licence")

        with WorkerPool(2, initializer=prepare, name="the pool") as pool:
            jobs = [pool.spawn(nothing) for _ in range(2)]
            assert all(isinstance(job.exception(GUARD), BrokenPoolError) for job in jobs)

        (record,) = [one for one in caplog.records if "initializer" in one.getMessage()]
        assert record.getMessage() == "the initializer of the pool raised, so the pool is broken"
        assert record.name == "runtime.backends.crew"
        assert record.levelname == "ERROR"
        assert "no licence" in caplog.text

    def test_jobs_of_other_workers_end_when_it_raises_on_one(self) -> None:
        """What runs is not taken away; what waits is refused."""
        calls = iter((None, ValueError("the second time")))

        def prepare() -> None:
            error = next(calls)
            if error is not None:
                raise error

        with WorkerPool(2, initializer=prepare) as pool:
            gate: Gate[str] = Gate()
            running = pool.spawn(gate)
            gate.wait_begun()
            waiting = pool.spawn(nothing)

            with pytest.raises(BrokenPoolError):
                waiting.result(GUARD)
            gate.open()
            assert running.result(GUARD) == "through"
