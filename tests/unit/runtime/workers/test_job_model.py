"""A job's life as a model: whatever comes in whatever order, one outcome, and an honest one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from runtime.async_runtime.promise import Promise
from runtime.errors import CancellationError, WorkerTimeoutError
from runtime.testing import CountingWaker, ManualClock, ScriptedBackend
from runtime.workers import HandleState, Outcome, Worker, WorkerFuture, WorkerHandle, WorkerPool
from tests.unit.runtime.scripted_here import end_scripted

LIMIT = 10.0


class Model:
    """What must hold of one job, worked out beside it from what was done to it."""

    def __init__(
        self, job: WorkerFuture[Any], deadline: float | None, ending: str, *, has_options: bool
    ) -> None:
        self.job = job
        self.ending = ending
        self.has_options = has_options
        self.deadline = deadline
        self.started = False
        self.ended = False  # its function has returned, raised, or died
        self.outcome: Outcome | None = None  # how it ended, where that is not FINISHED
        self.state = HandleState.PENDING
        self.waker = CountingWaker()
        job.poll(self.waker)

    @property
    def is_over(self) -> bool:
        return self.state > HandleState.RUNNING

    def settle(self, state: HandleState) -> bool:
        """The first outcome stands."""
        if self.is_over:
            return False
        self.state = state
        return True

    def expected_outcome(self) -> Outcome | None:
        if not self.is_over:
            return None
        if not self.started:
            return Outcome.NEVER_RAN
        if not self.ended:
            return Outcome.ABANDONED
        return self.outcome or Outcome.FINISHED


class JobLife(RuleBasedStateMachine):
    """Spawns jobs, and does to them all that can be done, in any order."""

    jobs: Bundle[Model] = Bundle("jobs")

    @initialize()
    def make_pool(self) -> None:
        """Begin with an empty pool."""
        self.clock = ManualClock(start=100.0)
        self.backend = ScriptedBackend()
        self.pool = WorkerPool(1, backend=self.backend.attach, clock=self.clock)
        self.models: list[Model] = []

    @rule(
        target=jobs,
        limit=st.sampled_from([None, LIMIT, 3 * LIMIT]),
        by_hand=st.booleans(),
        ending=st.sampled_from(["value", "error", "check"]),
    )
    def spawn(self, limit: float | None, by_hand: bool, ending: str) -> Model:
        """A job that ends in one of three ways, spawned or submitted."""

        def work() -> str:
            if ending == "error":
                raise LookupError("of the job")
            if ending == "check":
                Worker.current().check()
            return "value"

        if by_hand:
            handle: WorkerHandle[str] = WorkerHandle(
                self.pool.get_next_worker_id(), Promise(), limit, clock=self.clock
            )
            self.pool.submit(work, handle)
            job = handle._job
        else:
            job = self.pool.spawn(work, limit)
        deadline = None if limit is None else self.clock.now() + limit
        model = Model(job, deadline, ending, has_options=by_hand or limit is not None)
        self.models.append(model)
        return model

    @rule(model=jobs)
    def start(self, model: Model) -> None:
        """A slot takes it, if it waits."""
        if model.job in self.backend.queued:
            self.backend.start(model.job)
            model.started = True
            model.state = HandleState.RUNNING

    @rule(model=jobs)
    def run(self, model: Model) -> None:
        """Its function is called, and ends."""
        if model.job in self.backend.queued:
            self.start(model)
        if model.job not in self.backend.started:
            return
        was_over = model.is_over
        self.backend.run(model.job)
        if was_over and model.has_options:
            model.started = False  # it looked once more, and was not called
            return
        model.ended = True
        if was_over and model.ending == "check":
            model.outcome = Outcome.STOPPED
        failed = model.ending == "error"
        model.settle(HandleState.FAILED if failed else HandleState.SUCCEEDED)

    @rule(model=jobs)
    def crash(self, model: Model) -> None:
        """Its slot dies."""
        if model.job in self.backend.queued:
            self.start(model)
        if model.job in self.backend.started:
            self.backend.crash(model.job)
            model.ended, model.outcome = True, Outcome.KILLED
            model.settle(HandleState.FAILED)

    @rule(model=jobs)
    def cancel(self, model: Model) -> None:
        """Its reader gives up."""
        assert model.job.cancel() is model.settle(HandleState.CANCELLED)

    @rule(model=jobs)
    def complete(self, model: Model) -> None:
        """Somebody settles it by hand."""
        assert model.job.handle.complete("by hand") is model.settle(HandleState.SUCCEEDED)

    @rule(model=jobs)
    def fail(self, model: Model) -> None:
        """Somebody fails it by hand."""
        error = LookupError("by hand")
        assert model.job.handle.fail(error) is model.settle(HandleState.FAILED)

    @rule(seconds=st.sampled_from([0.0, LIMIT / 2, LIMIT]))
    def advance(self, seconds: float) -> None:
        """Time passes; limits may."""
        self.clock.advance(seconds)
        for model in self.models:
            if model.deadline is not None and model.deadline <= self.clock.now():
                model.settle(HandleState.TIMED_OUT)

    @rule()
    def cancel_all(self) -> None:
        """Everything is given up."""
        count = self.pool.cancel_all()
        assert count == sum(model.settle(HandleState.CANCELLED) for model in self.models)

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        """State, outcome and wake-ups; and what its reader gets."""
        for model in getattr(self, "models", ()):
            handle = model.job.handle
            assert handle.state is model.state
            assert handle.outcome is model.expected_outcome()
            assert model.job.done() is model.is_over
            assert model.waker.count == int(model.is_over)
            if model.state is HandleState.CANCELLED:
                assert isinstance(model.job.exception(0), CancellationError)
            elif model.state is HandleState.TIMED_OUT:
                assert isinstance(model.job.exception(0), WorkerTimeoutError)

    @invariant()
    def every_job_is_counted_once(self) -> None:
        """Queued, running, or done; and, beside that, abandoned."""
        if not hasattr(self, "pool"):
            return
        found = self.pool.statistics()
        states = [model.state for model in self.models]
        outcomes = [model.expected_outcome() for model in self.models]
        assert found.queued == states.count(HandleState.PENDING)
        assert found.running == states.count(HandleState.RUNNING)
        assert found.succeeded == states.count(HandleState.SUCCEEDED)
        assert found.failed == states.count(HandleState.FAILED)
        assert found.timed_out == states.count(HandleState.TIMED_OUT)
        assert found.cancelled == states.count(HandleState.CANCELLED)
        assert found.abandoned == outcomes.count(Outcome.ABANDONED)

    def teardown(self) -> None:
        """Nothing is left to be reported: every failure was looked at."""
        for model in getattr(self, "models", ()):
            if model.is_over:
                model.job.exception(0)
        if hasattr(self, "backend"):
            end_scripted(self.backend)


JobLife.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, derandomize=True
)
test_any_life_of_a_job = pytest.mark.slow(JobLife.TestCase)
