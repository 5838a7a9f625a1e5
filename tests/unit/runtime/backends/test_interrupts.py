"""The window in which a job may be interrupted."""

from __future__ import annotations

import ctypes  # noqa: F401 - may keep its library open, which is no leak of a test
import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from runtime.backends.interrupts import Interrupts
from runtime.errors import CancelRequestedError
from runtime.workers import Worker, WorkerPool
from runtime.workers.handle_state import Outcome
from tests.unit.runtime.backends.inside import wait_until_back
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

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
    sets = _Sets(interrupts)

    def raise_in_any_case(self: Interrupts) -> None:  # as if the job's code ran
        self._sent = True
        self._raise()

    monkeypatch.setattr(Interrupts, "_try_to_raise", raise_in_any_case)

    interrupts.call(job, lambda: interrupts.send(job))

    taken_back = [None] if sys.version_info >= (3, 13) else []  # before that it is raised at once
    assert sets.seen == [CancelRequestedError, *taken_back]


class _Sets:
    """Stands for the interpreter's function: notes what is set."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.seen: list[type[BaseException] | None] = []
        interrupts._raise = lambda: self.seen.append(CancelRequestedError)
        interrupts._take_back = lambda: self.seen.append(None)


def test_the_exception_waits_while_code_of_this_package_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock or a count of ours would be left half done; the next try comes a moment later."""
    interrupts, job = Interrupts(), _job()
    sets = _Sets(interrupts)
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


def _stack(
    modules: tuple[str, ...], block: Callable[[], object]
) -> tuple[Callable[[], None], CodeType]:
    """Return a function of the first of *modules*, which calls one of the next, and so on.

    The last one calls *block*; its code is returned as well.
    """
    func: Any = block  # Any: of the next module
    top = None
    for name in reversed(modules):
        room: dict[str, Any] = {"__name__": name, "func": func}  # Any: what a module may hold
        exec("def step():\n    func()", room)
        func = room["step"]
        top = top or func.__code__
    return func, cast("CodeType", top)  # cast: there is at least one module


@pytest.mark.parametrize(
    ("modules", "sent"),
    [
        (("users",), True),
        (("users.package", "other"), True),
        (("runtime.workers.options", "users"), True),  # what called the job's function
        (("runtime.workers.options", "runtime.x"), False),
        (("users", "runtime.async_runtime.promise"), False),
        (("users", "runtime.async_runtime.promise", "users"), False),  # a callback
        (("users", "importlib._bootstrap"), False),
        (("users", "_frozen_importlib"), False),
        (("users", "_frozen_importlib_external", "users.imported"), False),
        (("users", "threading"), False),
        (("users", "logging.handlers", "users"), False),
        (("users", "contextlib"), False),
        (("users", "contextlib", "users"), True),  # the body of a context manager
        (("functools", "users"), True),
    ],
)
def test_nothing_is_cut_that_stands_above_the_jobs_own_code(
    modules: tuple[str, ...], sent: bool
) -> None:
    """An import's lock, or one of ours, would stay taken for ever."""
    box: list[Interrupts] = []
    begun, looked = threading.Event(), threading.Lock()
    looked.acquire()
    func, last = _stack(modules, looked.acquire)  # C: no frame stands above the last module's

    def run() -> None:
        box.append(Interrupts())
        begun.set()
        box[0].call(_job(), func)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(GUARD)
        top = _wait_for_top(thread, last)
        seen = box[0]._user_on_top()
    finally:
        looked.release()
        thread.join(GUARD)

    assert seen is (top if sent else None)


def _wait_for_top(thread: threading.Thread, code: CodeType) -> FrameType:
    """Wait until *code* is on top of the stack of *thread*."""
    end = time.monotonic() + GUARD
    while time.monotonic() < end:
        frame = sys._current_frames()[cast("int", thread.ident)]  # cast: it runs
        if frame.f_code is code:
            return frame
    raise AssertionError("it did not come")


def test_a_stack_that_has_changed_since_the_look_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread may have gone on, into a function that must not be cut, before the sending."""
    interrupts = Interrupts()
    sets = _Sets(interrupts)
    before = sys._getframe()  # not on top any more when it is looked at again
    monkeypatch.setattr(Interrupts, "_user_on_top", lambda _: before)

    interrupts._try_to_raise()

    assert sets.seen == []
    assert not interrupts._sent


def test_the_tries_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may stay inside of this package for long."""
    interrupts, job = Interrupts(), _job()
    waits: list[float] = []

    class Later:
        def add_in(self, seconds: float, try_again: Callable[[], object]) -> None:
            waits.append(seconds)
            if len(waits) < 9:
                try_again()

    monkeypatch.setattr("runtime.backends.interrupts.shared_deadlines", Later)

    interrupts.call(job, lambda: interrupts.send(job))

    assert waits[:3] == [0.001, 0.002, 0.004]
    assert waits[-2:] == [0.05, 0.05]


def test_a_failure_is_freed_without_the_collector() -> None:
    """Its traceback keeps the frames below the job's, which must not keep the job."""
    freed = threading.Event()

    class Big:
        def __del__(self) -> None:
            freed.set()

    def fail() -> None:
        big = Big()
        raise ValueError(repr(type(big)))

    gc.disable()
    try:
        with WorkerPool(1) as pool:
            job = pool.spawn(fail, interrupt=True)
            assert isinstance(job.exception(GUARD), ValueError)
            del job
            assert pool.spawn(lambda: 1).result(GUARD) == 1  # the slot has let go of it
            assert freed.is_set()
    finally:
        gc.enable()
