"""A failure that nobody looks at is reported once; one that was looked at never is."""

from __future__ import annotations

import gc
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.workers import WorkerPool
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import UnhandledError
    from runtime.testing import ManualClock, ScriptedBackend
    from runtime.workers import WorkerFuture


def fail() -> None:
    raise ValueError("unseen")


def test_it_is_reported_with_its_traceback_and_the_place_of_its_spawn(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """All that one needs to find it: who, what, where it was raised, where it was spawned."""
    backend.run(scripted.spawn(fail, name="resize"))
    gc.collect()

    (report,) = reports
    assert report.who == "worker 1 'resize'"
    assert str(report.error) == "unseen"
    assert report.error.__traceback__ is not None
    assert report.error.__traceback__.tb_frame.f_code.co_name == "fail"
    assert "test_unhandled.py" in report.place
    assert "in test_it_is_reported_with_its_traceback" in report.place


def test_nothing_is_reported_while_somebody_could_still_look(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """As long as the future is held it may be read; reading it late takes the report back."""
    future = scripted.spawn(fail)
    backend.run(future)
    gc.collect()
    early = list(reports)
    future.exception()
    del future
    gc.collect()

    assert early == []
    assert reports == []


def read_result(future: WorkerFuture[None]) -> None:
    with pytest.raises(ValueError, match="unseen"):
        future.result()


def read_poll(future: WorkerFuture[None]) -> None:
    with pytest.raises(ValueError, match="unseen"):
        future.poll()


def read_exception(future: WorkerFuture[None]) -> None:
    assert future.exception() is not None


@pytest.mark.parametrize("read", [read_result, read_poll, read_exception])
def test_every_way_to_read_it_counts(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    reports: list[UnhandledError],
    read: Callable[[WorkerFuture[None]], None],
) -> None:
    """Whoever has got the error knows of it."""
    future = scripted.spawn(fail)
    backend.run(future)

    read(future)
    del future
    gc.collect()

    assert reports == []


def test_looking_whether_it_is_done_does_not_count(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """It did not show the error."""
    future = scripted.spawn(fail)
    backend.run(future)
    assert future.done()
    assert future.handle.completed
    del future
    gc.collect()

    assert len(reports) == 1


def _pass_over(pool: WorkerPool, backend: ScriptedBackend) -> None:
    """Have the queue let go of jobs that were over before their turn."""
    last = pool.spawn(nothing)
    assert backend.start() is last
    backend.run(last)


def test_a_timeout_is_reported_and_a_cancellation_is_not(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    reports: list[UnhandledError],
) -> None:
    """Whoever cancels knows; a deadline passes by itself."""
    scripted.spawn(nothing).cancel()
    doomed = scripted.spawn(nothing, timeout=1.0)
    clock.advance(1.0)
    _pass_over(scripted, backend)
    del doomed
    gc.collect()

    assert [type(report.error).__name__ for report in reports] == ["WorkerTimeoutError"]


def test_the_hook_is_never_called_with_the_pools_lock_held(
    backend: ScriptedBackend, clock: ManualClock
) -> None:
    """What is freed in the queue is reported by another thread: the hook may wait for anybody."""
    told = threading.Event()
    locked: list[bool] = []

    def hook(_: UnhandledError) -> None:
        locked.append(pool._core.lock._is_owned())  # type: ignore[attr-defined]  # as Condition asks
        told.set()

    pool = WorkerPool(1, backend=backend.attach, clock=clock, on_unhandled=hook)
    doomed = pool.spawn(nothing, timeout=1.0)
    clock.advance(1.0)
    del doomed

    _pass_over(pool, backend)  # frees it, under the lock
    assert told.wait(GUARD)
    assert locked == [False]


def test_the_late_error_of_a_cancelled_job_is_not_reported(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """Nobody wanted it any more."""
    future = scripted.spawn(fail)
    backend.start(future)
    future.cancel()
    backend.run(future)
    del future
    gc.collect()

    assert reports == []


def test_jobs_lost_with_a_broken_pool_are_reported() -> None:
    """They were accepted, so their spawner has not been told."""
    told = threading.Event()
    accepted = threading.Event()
    who: list[str] = []

    def broken() -> None:
        accepted.wait(GUARD)
        raise OSError("no licence")

    def hook(report: UnhandledError) -> None:
        who.append(report.who)
        told.set()

    with WorkerPool(1, initializer=broken, on_unhandled=hook) as pool:
        lost = pool.spawn(nothing, name="lost")
        accepted.set()
        lost._wait(GUARD)  # not to read it
        del lost
        assert pool.wait_idle(GUARD)  # which sweeps out what is over
        assert told.wait(GUARD)

    assert who == ["worker 1 'lost'"]


def test_the_default_is_a_log_line_at_error_level(caplog: pytest.LogCaptureFixture) -> None:
    """A program that has configured nothing sees it on its terminal."""
    pool = WorkerPool(1, backend="inline")
    future = pool.spawn(fail, name="resize")
    del future
    gc.collect()

    (record,) = [one for one in caplog.records if "nobody looked" in one.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(
        "worker 1 'resize' failed and nobody looked: ValueError('unseen') (spawned at "
    )
    assert record.exc_info is not None


def test_a_hook_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It runs where an object is freed: there is nobody to raise to."""

    def hook(_: UnhandledError) -> None:
        raise LookupError("of the hook")

    pool = WorkerPool(1, backend="inline", on_unhandled=hook)
    future = pool.spawn(fail)
    del future
    gc.collect()

    assert "on_unhandled" in caplog.text
    assert "of the hook" in caplog.text
