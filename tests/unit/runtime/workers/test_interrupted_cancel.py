"""Cancelling where something raises in the middle: what is decided is told all the same."""

from __future__ import annotations

import contextlib
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import WorkerTimeoutError
from runtime.testing import CountingWaker
from runtime.workers import CancellationError, HandleState, Worker, WorkerPool
from runtime.workers.cancelling import cancel_each
from tests.unit.runtime.gates import GUARD, Gate, nothing
from tests.unit.runtime.interrupts import AtSignals, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerFuture


def _is_workers(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("runtime.workers.")


def _exit(_: object) -> None:
    raise SystemExit(3)


def _complete(job: WorkerFuture[Any]) -> object:
    return job.handle.complete(None)


def _fail(job: WorkerFuture[Any]) -> object:
    return job.handle.fail(ValueError("by hand"))


def _cancel(job: WorkerFuture[Any]) -> object:
    return job.cancel()


@pytest.mark.parametrize("running", [False, True], ids=["waiting", "running"])
@pytest.mark.parametrize("settle", [_complete, _fail, _cancel])
def test_an_interrupt_at_any_line_leaves_no_job_half_settled(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    settle: Callable[[WorkerFuture[Any]], object],
    running: bool,
) -> None:
    """Ctrl-C comes where it likes; whoever waits for what it cut short would wait for ever."""
    step = 1
    while True:
        job, waker = scripted.spawn(nothing, cancel_on_abandon=False), CountingWaker()
        assert job.poll(waker).is_pending()
        if running:
            backend.start(job)

        is_interrupted = interrupted(partial(settle, job), AtSignals(step, _is_workers))

        assert job.done() is (job.state not in {HandleState.PENDING, HandleState.RUNNING}), step
        assert "unlocked" in repr(scripted._core.lock), step
        job.cancel()  # the next look: it settles the job, or wakes who was forgotten
        assert job.done(), step
        assert waker.count == 1, step
        job.exception(0)
        if running:
            backend.run(job)
        if not is_interrupted:
            break
        step += 1
    assert step > 10


def test_an_interrupt_of_an_expiry_leaves_no_job_half_settled(
    scripted: WorkerPool, clock: ManualClock
) -> None:
    """A deadline may pass on the main thread: where the clock is moved by hand."""
    step, is_interrupted = 1, True
    while is_interrupted:
        job = scripted.spawn(nothing, timeout=1.0)

        is_interrupted = interrupted(job.expire, AtSignals(step, _is_workers))

        assert "unlocked" in repr(scripted._core.lock), step
        job.expire()
        assert isinstance(job.exception(0), WorkerTimeoutError), step
        step += 1
    clock.advance(1.0)
    assert step > 10


def test_an_error_that_came_too_late_is_nobodys(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[Any]
) -> None:
    """It is made before it is known whether it stands: that must not be reported."""
    job = scripted.spawn(nothing, timeout=5.0)
    backend.start(job)
    job.cancel()

    assert job.handle.fail(KeyError("late")) is False
    assert job.expire() is False
    backend.crash(job)

    assert reports == []


def _shut_down(pool: WorkerPool) -> object:
    return pool.shutdown(wait=False, cancel_pending=True)


@pytest.mark.parametrize("end", [WorkerPool.cancel_all, _shut_down])
def test_a_callback_that_raises_stops_no_other_cancellation(
    end: Callable[[WorkerPool], object],
) -> None:
    """Jobs after it would be cancelled, and never told so."""
    gate: Gate[str] = Gate()
    with WorkerPool(1, backend="thread") as pool:
        running = pool.spawn(gate)
        gate.wait_begun()
        waiting = [pool.spawn(nothing) for _ in range(3)]
        waiting[0].add_done_callback(_exit)

        with pytest.raises(SystemExit):
            end(pool)

        assert [type(job.exception(0)) for job in waiting] == [CancellationError] * 3
        assert running.cancelled() is (end is not _shut_down)
        gate.open()


def test_cancelling_each_goes_on_after_the_first_error(scripted: WorkerPool) -> None:
    """What ends a map or the interpreter goes through a list of jobs; the first error is told."""
    jobs = [scripted.spawn(nothing) for _ in range(4)]
    jobs[1].add_done_callback(_exit)
    jobs[2].add_done_callback(lambda _: sys.exit("another"))

    with pytest.raises(SystemExit) as caught:
        cancel_each(jobs)

    assert caught.value.code == 3
    assert all(job.cancelled() for job in jobs)


def test_closing_a_map_cancels_all_of_it_whatever_a_callback_raises(scripted: WorkerPool) -> None:
    """The iterator has forgotten its jobs by then: nobody else could cancel them."""
    results = Worker.map(str, range(3), window=3, pool=scripted)
    jobs = list(results._jobs)
    jobs[0].add_done_callback(_exit)

    with pytest.raises(SystemExit):
        results.close()

    assert all(job.cancelled() for job in jobs)


def test_an_interrupt_of_cancel_all_leaves_no_job_half_settled(scripted: WorkerPool) -> None:
    """Another thread that waits for one of them gets its outcome from the next look at it."""
    step, is_interrupted = 1, True
    while is_interrupted:
        jobs = [scripted.spawn(nothing) for _ in range(2)]
        wakers = [CountingWaker() for _ in jobs]
        for job, waker in zip(jobs, wakers, strict=True):
            job.poll(waker)

        is_interrupted = interrupted(scripted.cancel_all, AtSignals(step, _is_workers))

        assert all(job.done() is (job.state is HandleState.CANCELLED) for job in jobs), step
        scripted.cancel_all()
        for job, waker in zip(jobs, wakers, strict=True):
            job.cancel()
            assert job.done(), step
            assert waker.count == 1, step
        step += 1
    assert step > 10


def test_the_recursion_limit_leaves_no_job_half_settled(scripted: WorkerPool) -> None:
    """A recursion error is an interrupt as well: it may come at any call."""

    def deep(levels: int, action: Callable[[], object]) -> object:
        return deep(levels - 1, action) if levels else action()

    def run() -> None:
        for levels in range(140):
            job = scripted.spawn(nothing)
            with contextlib.suppress(RecursionError):
                deep(levels, job.cancel)
            assert job.done() is (job.state is HandleState.CANCELLED), levels
            job.cancel()
            assert job.done(), levels

    limit = sys.getrecursionlimit()
    thread = threading.Thread(target=run)  # a stack of its own: it begins at the bottom
    failed: list[object] = []
    hook, threading.excepthook = threading.excepthook, failed.append
    sys.setrecursionlimit(150)
    try:
        thread.start()
        thread.join(GUARD)
    finally:
        sys.setrecursionlimit(limit)
        threading.excepthook = hook
    assert failed == []


def test_a_spawn_that_is_interrupted_takes_its_job_back(
    scripted: WorkerPool, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has its future: it would run for nobody."""
    submit = scripted._submit

    def interrupted(job: Any) -> None:
        submit(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(scripted, "_submit", interrupted)

    with pytest.raises(KeyboardInterrupt):
        _ = scripted.spawn(nothing)

    assert backend.run_all() == 0
    assert scripted.statistics().cancelled == 1


def test_an_interrupted_spawn_lets_a_job_run_on_that_has_begun(
    scripted: WorkerPool, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function cannot be taken back; its end is counted like any other."""
    submit = scripted._submit

    def started(job: Any) -> None:
        submit(job)
        backend.start(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(scripted, "_submit", started)

    with pytest.raises(KeyboardInterrupt):
        _ = scripted.spawn(nothing)
    backend.run_all()

    assert scripted.statistics().succeeded == 1
