"""The window in which a job may be interrupted."""

from __future__ import annotations

import ctypes  # noqa: F401 - may keep its library open, which is no leak of a test
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from runtime.backends.interrupts import Interrupts
from runtime.errors import CancelRequestedError
from runtime.workers import Worker, WorkerPool
from runtime.workers.handle_state import Outcome
from tests.unit.runtime.backends.inside import wait_until_back
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from runtime.backends.base import JobSink


not_measured = pytest.mark.skipif(
    "COVERAGE_RUN" in os.environ,
    reason="the exception may be raised inside of the coverage tool, whose lock then stays taken",
)


class _Job:
    """All that a window needs of a job."""

    label = "worker 1 'test'"
    over = False

    def is_over(self) -> bool:
        return self.over


def _job() -> JobSink:
    return cast("JobSink", _Job())  # cast: see _Job


def _spin() -> None:
    """Run on in Python code, for as long as the guard allows."""
    end = time.monotonic() + GUARD
    while time.monotonic() < end:
        sum(range(50))
    raise AssertionError("nobody interrupted")


def test_nothing_is_sent_to_a_job_whose_window_is_shut() -> None:
    """Before, after, or while another job runs."""
    interrupts, job, other = Interrupts(), _job(), _job()

    before = interrupts.send(job)
    inside = interrupts.call(job, lambda: interrupts.send(other))
    after = interrupts.send(job)

    assert (before, inside, after) == (False, False, False)


@not_measured
def test_a_job_is_interrupted_once() -> None:
    """While it cleans up, a second request does nothing."""
    box: list[Interrupts] = []
    begun, raised, sent = threading.Event(), threading.Event(), threading.Event()
    job = _job()
    errors: list[str] = []

    def work() -> None:
        begun.set()
        try:
            _spin()
        except CancelRequestedError:
            raised.set()
            sent.wait(GUARD)
            sum(range(10_000))
            errors.append("cleaned up")
            raise

    def run() -> None:
        interrupts = Interrupts()
        box.append(interrupts)
        try:
            interrupts.call(job, work)
        except CancelRequestedError:
            errors.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(GUARD)
    assert box[0].send(job)
    assert raised.wait(GUARD)
    assert not box[0].send(job)
    sent.set()
    thread.join(GUARD)

    assert errors == ["cleaned up", "ended"]


def test_what_was_sent_too_late_to_be_raised_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread's next job must never get it."""
    interrupts, job = Interrupts(), _job()
    interrupts._set_error = sets = _Sets()
    monkeypatch.setattr(Interrupts, "_is_ours", lambda _: False)  # as if the job's code ran

    interrupts.call(job, lambda: interrupts.send(job))

    taken_back = [None] if sys.version_info >= (3, 13) else []  # before that it is raised at once
    assert sets.seen == [CancelRequestedError, *taken_back]


class _Sets:
    """Stands for the interpreter's function: notes what is set."""

    def __init__(self) -> None:
        self.seen: list[type[BaseException] | None] = []

    def __call__(self, ident: int, error: type[BaseException] | None) -> None:
        assert ident == threading.get_ident()
        self.seen.append(error)


def test_the_exception_waits_while_code_of_this_package_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock or a count of ours would be left half done; the next try comes a moment later."""
    interrupts, job = Interrupts(), _job()
    interrupts._set_error = sets = _Sets()
    again: list[float] = []

    class Later:
        def add_in(self, seconds: float, _: object) -> None:
            again.append(seconds)

    monkeypatch.setattr("runtime.backends.interrupts.shared_deadlines", Later)

    sent = interrupts.call(job, lambda: interrupts.send(job))  # send is ours, and on top

    assert sent
    assert sets.seen == []
    assert again == [0.001]


def test_a_request_during_a_wait_is_raised_when_the_wait_ends() -> None:
    """In between other jobs may run on the thread: they are not meant."""
    interrupts, job = Interrupts(), _Job()
    sink = cast("JobSink", job)  # cast: see _Job
    steps: list[object] = []

    def work() -> None:
        shut = interrupts.shut()
        steps.append(interrupts.send(sink))
        job.over = True
        interrupts.reopen(shut)

    with pytest.raises(CancelRequestedError, match="worker 1 'test' was asked to stop"):
        interrupts.call(sink, work)

    assert steps == [False]
    assert interrupts._job is None


def test_a_request_just_as_the_window_opens_again_is_raised() -> None:
    """Who asks sees the window shut, or the window sees that the job is over."""
    interrupts = Interrupts()
    answers = iter((False, True))

    class Job(_Job):
        def is_over(self) -> bool:
            return next(answers)

    with pytest.raises(CancelRequestedError):
        interrupts.reopen(cast("JobSink", Job()))  # cast: see _Job

    assert interrupts._job is None


def test_a_wait_of_no_job_opens_nothing() -> None:
    """A job without the option has no window to open again."""
    interrupts = Interrupts()

    interrupts.reopen(interrupts.shut())

    assert interrupts._job is None


@not_measured
def test_a_cancelled_loop_is_stopped_and_its_worker_goes_on() -> None:
    """The whole way: the loop ends, the slot serves the next job, nothing is raised there."""
    with WorkerPool(1) as pool:
        begun = threading.Event()

        def loop() -> None:
            begun.set()
            _spin()

        job = pool.spawn(loop, interrupt=True)
        assert begun.wait(GUARD)
        job.cancel()

        assert pool.spawn(lambda: "next").result(GUARD) == "next"
        wait_until_back(pool)
        assert job.handle.outcome is Outcome.STOPPED


@not_measured
def test_a_cancelled_job_is_not_interrupted_in_the_job_it_runs_in_its_place() -> None:
    """The one on top is another job, and nobody cancelled that."""
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate("inner")
        inner_result: list[object] = []

        def inner() -> str:
            result = gate()
            for _ in range(2000):  # bytecodes on which a stray exception would show
                sum(range(20))
            return result

        def outer() -> str:
            job = pool.spawn(inner)
            try:
                return job.result()
            finally:
                inner_result.append(job.exception(0))

        outer_job = pool.spawn(outer, interrupt=True)
        gate.wait_begun()
        outer_job.cancel()
        gate.open()
        wait_until_back(pool)

        assert inner_result == [None]
        assert outer_job.handle.outcome is Outcome.STOPPED


@not_measured
def test_a_job_that_checks_for_itself_needs_no_interrupt() -> None:
    """Both at once: one exception, not two."""
    with WorkerPool(1) as pool:
        begun = threading.Event()

        def poll() -> None:
            begun.set()
            while True:
                Worker.current().check()

        job = pool.spawn(poll, interrupt=True)
        assert begun.wait(GUARD)
        job.cancel()

        wait_until_back(pool)
        assert job.handle.outcome is Outcome.STOPPED
        assert pool.spawn(lambda: 1).result(GUARD) == 1
