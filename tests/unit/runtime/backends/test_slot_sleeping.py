"""A slot that goes to sleep, and who wakes it: the interleavings by which a job could be left."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import race
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import crew_of, wait_until
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from collections.abc import Callable


class _Idle(list["Callable[[], None]"]):
    """The idle list of a crew; calls what the test wants right before or after an append."""

    before: Callable[[], object] = staticmethod(nothing)
    after: Callable[[], object] = staticmethod(nothing)

    def append(self, wake: Callable[[], None]) -> None:
        self.before()
        super().append(wake)
        self.after()


def _watch_idle(pool: WorkerPool) -> _Idle:
    """Put an instrumented idle list in the place of the pool's; before its first spawn."""
    import operator  # noqa: PLC0415 - as the crew makes it

    crew = crew_of(pool)
    crew.idle = idle = _Idle()
    crew.wake_one = map(operator.call, iter(idle.pop, None)).__next__
    pool._backend._wake_one = crew.wake_one  # type: ignore[attr-defined]  # it is a ThreadBackend
    return idle


def test_a_job_that_comes_before_the_slot_lies_down_is_taken() -> None:
    """The slot has seen an empty queue and nobody saw the slot: it must look again."""
    with WorkerPool(1) as pool:
        idle = _watch_idle(pool)
        late: list[Any] = []  # Any: futures

        def before() -> None:
            if not late:
                late.append(pool.spawn(lambda: "taken"))

        idle.before = before
        pool.spawn(nothing)

        wait_until(pool, lambda: len(late) == 1)
        assert late[0].result(GUARD) == "taken"


def test_a_job_that_comes_after_the_slot_lay_down_wakes_it() -> None:
    """Its gate is opened before it sleeps: that must be remembered."""
    with WorkerPool(1) as pool:
        idle = _watch_idle(pool)
        late: list[Any] = []  # Any: futures

        def after() -> None:
            if not late:
                late.append(pool.spawn(lambda: "taken"))

        idle.after = after
        pool.spawn(nothing)

        wait_until(pool, lambda: len(late) == 1)
        assert late[0].result(GUARD) == "taken"
        assert pool.spawn(lambda: "next").result(GUARD) == "next"


def test_a_slot_that_gets_up_by_itself_sleeps_again_afterwards() -> None:
    """A gate that somebody else took from the list is opened once, and waited for once."""
    with WorkerPool(1) as pool:
        crew = crew_of(pool)
        idle = _watch_idle(pool)
        taken: list[Any] = []  # Any: the gate's opener
        late: list[Any] = []  # Any: futures

        def after() -> None:  # a submitter is between its steps: gate taken, not yet opened
            if not taken:
                taken.append(idle.pop())
                late.append(pool.spawn(lambda: "taken"))

        idle.after = after
        pool.spawn(nothing)
        wait_until(pool, lambda: len(taken) == 1)

        assert not late[0].done()  # it sleeps until the submitter goes on
        taken[0]()

        assert late[0].result(GUARD) == "taken"
        wait_until(pool, lambda: len(crew.idle) == 1)


def test_an_idle_worker_is_used_before_a_new_one_starts() -> None:
    """Threads are dear: one after the other needs only one."""
    with WorkerPool(4) as pool:
        for _ in range(5):
            pool.spawn(nothing).result(GUARD)
            assert pool.wait_idle(GUARD)

        assert pool.statistics().workers == 1


def test_as_many_workers_start_as_jobs_run() -> None:
    """And no more than allowed."""
    with WorkerPool(3) as pool:
        gates = [Gate("through") for _ in range(5)]
        jobs = [pool.spawn(gate) for gate in gates]
        for gate in gates[:3]:
            gate.wait_begun()

        assert pool.statistics().workers == 3
        assert pool.statistics().queued == 2

        for gate in gates:
            gate.open()
        assert [job.result(GUARD) for job in jobs] == ["through"] * 5


def test_a_leaving_thread_wakes_a_sleeping_one_for_the_job_it_leaves() -> None:
    """Two sleep, the one that is woken has to go: its wake-up must not go with it."""
    with WorkerPool(2) as pool:
        crew = crew_of(pool)
        gates = [Gate("x"), Gate("x")]
        for gate in gates:
            pool.spawn(gate)
        for gate in gates:
            gate.wait_begun()
        for gate in gates:
            gate.open()
        wait_until(pool, lambda: len(crew.idle) == 2)
        with crew.lock:
            crew.allowed = 1

        assert pool.spawn(lambda: "done").result(GUARD) == "done"
        wait_until(pool, lambda: crew.alive == 1)


def test_two_threads_too_many_do_not_all_leave() -> None:
    """Each one that decides to leave is gone for the next one that decides."""
    with WorkerPool(3) as pool:
        crew = crew_of(pool)
        gates = [Gate("x") for _ in range(3)]
        for gate in gates:
            pool.spawn(gate)
        for gate in gates:
            gate.wait_begun()
        with crew.lock:
            crew.allowed = 2
        for gate in gates:
            gate.open()

        wait_until(pool, lambda: len(crew.idle) == 2)
        assert crew.alive == 2
        with crew.lock:
            crew.allowed = 3


@pytest.mark.usefixtures("eager_thread_switches")
def test_many_spawners_and_few_workers_leave_no_job() -> None:
    """The race for the idle list, thousands of times."""
    with WorkerPool(2) as pool:

        def spawn() -> int:
            return sum(pool.spawn(lambda: 1).result(GUARD) for _ in range(200))

        assert race(*[spawn] * 4, timeout=GUARD * 3) == [200] * 4
        assert pool.wait_idle(GUARD)


def test_a_pump_that_fails_tells_it_and_the_job_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be a bug of ours; even then nobody waits for ever, and the pool goes on."""
    with WorkerPool(1) as pool:
        begun = threading.Event()

        def break_pump() -> None:
            begun.set()
            raise RuntimeError("bug")

        crew = crew_of(pool)
        monkeypatch.setattr(crew, "came_back", lambda _slot: break_pump())
        gate: Gate[str] = Gate()
        job = pool.spawn(gate)
        gate.wait_begun()
        job.cancel()
        gate.open()
        assert begun.wait(GUARD)

        assert pool.spawn(lambda: "next").result(GUARD) == "next"
        wait_until(pool, lambda: crew.alive == 1)
        assert "a worker thread ends by an error that is no job's" in caplog.text
