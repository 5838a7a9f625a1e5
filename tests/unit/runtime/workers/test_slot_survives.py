"""A slot lives on, and the outcome stays true, whatever comes up around a job's function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Promise
from runtime.async_runtime.timers import DeadlineQueue
from runtime.errors import WorkerStartError
from runtime.workers import HandleState, Outcome, WorkerHandle
from tests.unit.runtime.gates import nothing

if TYPE_CHECKING:
    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerPool


def _exit(_: object) -> None:
    raise SystemExit(3)


class _Late:
    """A function at whose end the time is up; nobody else has noticed that yet."""

    def __init__(self, clock: ManualClock, error: Exception | None) -> None:
        self._clock = clock
        self._error = error

    def __call__(self) -> None:
        self._clock._now += 10.0  # without telling: as a clock that goes by itself
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("error", [None, ValueError("late")])
def test_a_callback_of_a_late_job_does_not_end_its_worker(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
) -> None:
    """The slot itself tells that the time is up: what the callback raises comes out there."""
    job = scripted.spawn(_Late(clock, error), timeout=5.0)
    job.add_done_callback(_exit)

    backend.run(job)

    assert job.state is HandleState.TIMED_OUT
    assert job.outcome is Outcome.FINISHED
    assert job.slot is None
    assert "the worker goes on" in caplog.text


def test_a_callback_of_a_job_that_is_too_late_to_begin_does_not_end_its_worker(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As above, before the function is called."""
    job = scripted.spawn(nothing, timeout=5.0)
    job.add_done_callback(_exit)
    clock._now += 10.0

    backend.run(job)

    assert (job.state, job.outcome) == (HandleState.TIMED_OUT, Outcome.NEVER_RAN)
    assert "the worker goes on" in caplog.text


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be had that watches deadlines."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(DeadlineQueue, "add", refuse)


@pytest.mark.usefixtures("unwatched")
def test_a_job_whose_limit_nobody_can_watch_does_not_run(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """It is refused like one for which there is no worker, only later."""
    ran: list[bool] = []
    job = scripted.spawn(lambda: ran.append(True), run_timeout=5.0)

    backend.run(job)

    assert ran == []
    assert isinstance(job.exception(0), WorkerStartError)
    assert (job.state, job.outcome) == (HandleState.FAILED, Outcome.NEVER_RAN)


@pytest.mark.usefixtures("unwatched")
def test_a_spawn_whose_limit_nobody_can_watch_is_refused(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The error says which thread is missing; a job by hand has its promise settled with it."""
    promise: Promise[None] = Promise()

    with pytest.raises(WorkerStartError, match=r"watches deadlines.*can't start new thread"):
        _ = scripted.spawn(nothing, timeout=5.0)
    with pytest.raises(WorkerStartError, match="watches deadlines"):
        scripted.submit(nothing, WorkerHandle(1, promise, timeout=5.0))

    assert backend.queued == []
    assert isinstance(promise.future().exception(0), WorkerStartError)
