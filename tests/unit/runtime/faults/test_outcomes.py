"""T1 to T4: jobs that raise, do not return, are cancelled or expire at the wrong moment."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import CancellationError, WorkerTimeoutError
from runtime.testing import ManualClock, race
from runtime.workers import Worker, WorkerPool
from runtime.workers.handle_state import Outcome
from tests.unit.runtime.backends.inside import crew_of, wait_until, wait_until_back
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.backends.base import SlotView
    from runtime.workers.job import WorkerFuture


class _FalsyError(Exception):
    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]  # an error that cannot be hashed


def _outcome(job: WorkerFuture[Any]) -> Outcome | None:  # Any: of whatever type
    return job.handle.outcome


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        ValueError(1),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(4),
        _FalsyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_job_raises_its_future_has_it_and_the_worker_lives(
    error: BaseException,
) -> None:
    """None of them ends the thread, the process, or somebody's loop."""
    with WorkerPool(1) as pool:
        thread = pool.spawn(threading.get_ident).result(GUARD)

        found = pool.spawn(_raise, args=(error,)).exception(GUARD)

        assert type(found) is type(error)
        assert pool.spawn(threading.get_ident).result(GUARD) == thread


class TestAbandoned:
    """T2: functions that do not return after a cancellation or a timeout."""

    def test_a_cancelled_job_that_runs_on_is_answered_and_its_slot_replaced(self) -> None:
        """The pool has one worker and goes on with one."""
        with WorkerPool(1) as pool:
            gate: Gate[str] = Gate()
            stuck = pool.spawn(gate)
            gate.wait_begun()

            assert stuck.cancel()

            with pytest.raises(CancellationError):
                stuck.result(0)
            assert _outcome(stuck) is Outcome.ABANDONED
            assert pool.spawn(lambda: "next").result(GUARD) == "next"
            assert pool.statistics().abandoned == 1
            gate.open()
            wait_until(pool, lambda: crew_of(pool).alive == 1)
            assert _outcome(stuck) is Outcome.FINISHED
            assert pool.statistics().abandoned == 0

    def test_a_timeout_answers_and_replaces_likewise(self) -> None:
        """The same for a deadline, on time."""
        clock = ManualClock()
        with WorkerPool(1, clock=clock) as pool:
            gate: Gate[str] = Gate()
            stuck = pool.spawn(gate, timeout=5)
            gate.wait_begun()
            waiting = pool.spawn(lambda: "next")

            clock.advance(5)

            with pytest.raises(WorkerTimeoutError):
                stuck.result(0)
            assert waiting.result(GUARD) == "next"
            clock.advance(2)
            assert pool.statistics().abandoned_names == (("worker 1", 2.0),)
            gate.open()

    def test_at_the_cap_jobs_wait_and_the_log_says_why_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Never a silent hang; when one comes back, the jobs go on."""
        with WorkerPool(1, max_abandoned=1, name="the pool") as pool:
            gates = [Gate("x") for _ in range(2)]
            for gate in gates:
                job = pool.spawn(gate)
                gate.wait_begun()
                job.cancel()
            waiting = [pool.spawn(nothing) for _ in range(3)]
            waiting[0].cancel()

            assert pool.statistics().at_abandoned_cap
            assert pool.statistics().queued == 2
            told = [line for line in caplog.messages if "no more threads replace them" in line]
            assert len(told) == 1
            assert told[0].startswith("the pool: 2 abandoned job(s) do not return")

            gates[0].open()
            assert waiting[1].result(GUARD) is None
            assert not pool.statistics().at_abandoned_cap
            gates[1].open()

    def test_an_abandoned_slot_that_comes_back_when_there_are_enough_leaves(self) -> None:
        """The replacement stays, or it does: as many as before, and all of them usable."""
        with WorkerPool(2) as pool:
            gates = [Gate("x") for _ in range(2)]
            jobs = [pool.spawn(gate) for gate in gates]
            for gate in gates:
                gate.wait_begun()
            for job in jobs:
                job.cancel()
            held = [Gate("held") for _ in range(2)]
            replaced = [pool.spawn(gate) for gate in held]
            for gate in held:
                gate.wait_begun()
            assert pool.statistics().workers == 4

            for gate in [*gates, *held]:
                gate.open()

            assert [job.result(GUARD) for job in replaced] == ["held"] * 2
            wait_until(pool, lambda: crew_of(pool).abandoned == 0 and crew_of(pool).alive == 2)
            assert [pool.spawn(lambda: 1).result(GUARD) for _ in range(4)] == [1] * 4


class TestCancelMoments:
    """T3: exactly one outcome, no exception from `cancel`, and the next job works."""

    def test_while_it_waits(self) -> None:
        """It never runs."""
        with WorkerPool(1) as pool:
            gate: Gate[str] = Gate()
            pool.spawn(gate)
            gate.wait_begun()
            ran: list[int] = []
            job = pool.spawn(ran.append, args=(1,))

            assert job.cancel()
            assert not job.cancel()

            gate.open()
            assert pool.wait_idle(GUARD)
            assert ran == []
            assert job.handle.outcome is Outcome.NEVER_RAN

    def test_just_before_it_is_taken(self) -> None:
        """The slot has it in its hands, and asks before it runs it."""
        self._check_at_claim(before=True)

    def test_just_after_it_is_taken(self) -> None:
        """It runs, and what it gives is dropped."""
        self._check_at_claim(before=False)

    @staticmethod
    def _check_at_claim(*, before: bool) -> None:
        with WorkerPool(1) as pool:
            ran: list[int] = []
            pool.spawn(nothing).result(GUARD)
            wait_until_back(pool)
            queue = crew_of(pool).queue
            job_class: Any = None  # Any: the job's class, to wrap its claim
            cancelled: list[bool] = []

            with crew_of(pool).lock:  # the slot cannot take it yet
                job = pool.spawn(ran.append, args=(1,))
                job_class = type(job)
                claim = job_class.claim

                def claim_and_cancel(self: WorkerFuture[Any], slot: SlotView) -> bool:
                    if before:
                        cancelled.append(self.cancel())
                    claimed = bool(claim(self, slot))
                    if not before:
                        cancelled.append(self.cancel())
                    return claimed

                job_class.claim = claim_and_cancel
            try:
                wait_until(pool, lambda: len(cancelled) == 1)
            finally:
                job_class.claim = claim

            assert cancelled == [True]
            with pytest.raises(CancellationError):
                job.result(GUARD)
            wait_until_back(pool)
            assert len(ran) == (0 if before else 1)
            assert len(queue) == 0
            assert pool.spawn(lambda: "next").result(GUARD) == "next"
            assert pool.statistics().cancelled == 1

    def test_from_the_job_itself(self) -> None:
        """It is cancelled, and may still return."""
        with WorkerPool(1) as pool:
            box: list[Any] = []  # Any: the future
            ready = threading.Event()
            answers: list[tuple[bool, bool]] = []

            def cancel_me() -> str:
                ready.wait(GUARD)
                answers.append((box[0].cancel(), Worker.current().cancelled))
                return "dropped"

            box.append(pool.spawn(cancel_me))
            ready.set()

            with pytest.raises(CancellationError):
                box[0].result(GUARD)
            assert pool.spawn(lambda: "next").result(GUARD) == "next"
            assert answers == [(True, True)]

    def test_from_a_callback_of_its_own(self) -> None:
        """It comes too late, and says so."""
        with WorkerPool(1) as pool:
            answers: list[bool] = []
            gate: Gate[str] = Gate()
            job = pool.spawn(gate)
            job.add_done_callback(lambda _: answers.append(job.cancel()))
            gate.open()

            assert job.result(GUARD) == "through"
            assert pool.wait_idle(GUARD)
            assert answers == [False]

    @pytest.mark.usefixtures("eager_thread_switches")
    def test_from_ten_threads_at_once_while_it_ends(self) -> None:
        """One of eleven wins."""
        with WorkerPool(2) as pool:
            for _ in range(30):
                job = pool.spawn(lambda: "value")

                wins = sum(race(*[job.cancel] * 10))

                error = job.exception(GUARD)
                assert wins == (0 if error is None else 1)
            assert pool.wait_idle(GUARD)
            statistics = pool.statistics()
            assert statistics.succeeded + statistics.cancelled == 30


@pytest.mark.usefixtures("eager_thread_switches")
def test_a_deadline_at_the_moment_of_the_end_gives_one_outcome() -> None:
    """T4: the clock moves while the function returns."""
    clock = ManualClock()
    with WorkerPool(2, clock=clock) as pool:
        for _ in range(50):
            gate: Gate[str] = Gate()
            job = pool.spawn(gate, timeout=1)
            gate.wait_begun()

            race(gate.open, lambda: clock.advance(1))

            error = job.exception(GUARD)
            assert error is None or isinstance(error, WorkerTimeoutError)
        wait_until_back(pool)
        statistics = pool.statistics()
        assert statistics.succeeded + statistics.timed_out == 50
        assert statistics.abandoned == 0
        assert crew_of(pool).abandoned == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["timeout", "cancel"])
def test_answers_come_on_time_with_ten_thousand_deadlines_pending(way: str) -> None:
    """B4, with a margin for a loaded machine: the target is 5 ms, and a failure is seconds."""
    import time  # noqa: PLC0415 - real time is the subject of this test alone

    with WorkerPool(1) as busy, WorkerPool(2) as pool:
        hold: Gate[str] = Gate()
        busy.spawn(hold)
        hold.wait_begun()
        pending = [busy.spawn(nothing, timeout=1000) for _ in range(10_000)]
        lateness: list[float] = []
        for _ in range(20):
            stuck: Gate[str] = Gate()
            begin = time.monotonic()
            job = pool.spawn(stuck, timeout=0.02 if way == "timeout" else None)
            due = begin + 0.02
            if way == "cancel":
                stuck.wait_begun()
                due = time.monotonic()
                job.cancel()
            assert job.exception(GUARD) is not None
            lateness.append(time.monotonic() - due)
            stuck.open()
        assert busy.cancel_all() == len(pending) + 1
        hold.open()

        assert sorted(lateness)[len(lateness) // 2] < 0.1
