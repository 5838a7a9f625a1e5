"""The end of an executor: closed, dropped, or left behind by its thread."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; a table of
# calls:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, UnhandledError, sleep
from runtime.errors import ExecutorClosedError
from runtime.testing import ManualClock


async def fail(error: BaseException) -> None:
    """Fail."""
    raise error


# ---- the end ------------------------------------------------------------------------------


def test_close_reports_what_is_left_and_runs_the_cleaning_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the task's own context; unstarted coroutines do not run at all."""
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await Future.pending()
        finally:
            cleaned.append("finally")

    async def never() -> None:
        pytest.fail("ran")

    executor = Executor(clock=ManualClock())
    promise: Promise[int] = Promise()
    handles: list[Any] = [executor.spawn(work()), executor.spawn(promise.future())]
    executor.run_until_stalled()
    handles += [executor.spawn(never()) for _ in range(5)]
    executor.close()
    executor.close()

    assert cleaned == ["finally"]
    assert all(handle.is_cancelled() for handle in handles)
    assert promise.is_completed()
    assert caplog.text.count("task(s) pending") == 1
    assert "closed with 7 task(s) pending" in caplog.text
    assert "test_closing.py:" in caplog.text
    assert "and 2 more" in caplog.text
    assert caplog.text.index("work") < caplog.text.index("PromiseFuture")  # in order of spawns
    assert "closed" in repr(executor)


def test_a_closed_executor_refuses_everything_clearly() -> None:
    """And closes the coroutine that it was given."""
    executor = Executor()
    executor.close()

    for call in (
        lambda: executor.spawn(fail(KeyError())),
        lambda: executor.spawn(Future.ready(1)),
        lambda: executor.run_until_complete(fail(KeyError())),
        executor.step,
        executor.run,
        executor.run_until_stalled,
    ):
        with pytest.raises(ExecutorClosedError, match="make a new Executor"):
            call()
    executor.stop()
    assert executor.active_tasks() == 0


def test_a_promise_that_is_settled_after_the_close_is_harmless() -> None:
    """Workers end when they end."""
    executor = Executor()
    promise: Promise[int] = Promise()

    async def main() -> int:
        return await promise.future()

    handle = executor.spawn(main())
    executor.run_until_stalled()
    executor.close()
    promise.resolve(1)
    handle.wake()

    assert handle.is_cancelled()
    assert len(executor._ready) == 0


def test_errors_while_closing_do_not_stop_it(caplog: pytest.LogCaptureFixture) -> None:
    """Each task fails or ends on its own, interrupts included; awaiting is over."""
    reports: list[UnhandledError] = []

    async def broken(error: BaseException) -> None:
        try:
            await Future.pending()
        finally:
            raise error

    async def awaiting() -> None:
        try:
            await Future.pending()
        finally:
            await sleep(1)

    executor = Executor(on_unhandled=reports.append)
    handles = [
        executor.spawn(work)
        for work in (broken(KeyError()), broken(KeyboardInterrupt()), awaiting())
    ]
    executor.run_until_stalled()
    executor.close()

    assert [handle.is_failed() for handle in handles] == [True, True, True]
    assert "raised while being closed" in caplog.text
    assert isinstance(handles[2].error(), RuntimeError)
    assert isinstance(handles[0].error(), KeyError)


def test_a_task_spawned_while_it_closes_is_refused_or_ended() -> None:
    """Whichever comes first, nothing is left."""
    executor = Executor()
    refused: list[BaseException] = []

    async def spawning() -> None:
        try:
            await Future.pending()
        finally:
            try:
                executor.spawn(fail(ValueError()))
            except ExecutorClosedError as error:
                refused.append(error)

    executor.spawn(spawning())
    executor.run_until_stalled()
    executor.close()

    assert len(refused) == 1
    assert executor.active_tasks() == 0


def test_a_spawn_that_the_close_has_found_is_refused_all_the_same() -> None:
    """The two race for the task; one of them ends it."""
    executor = Executor()

    class Emptied(dict[Any, Any]):
        def __setitem__(self, task: Any, _nothing: None) -> None:
            executor._closed = True  # close() came between, and has taken the task out

    executor._active = Emptied()
    coroutine = fail(KeyError())
    with pytest.raises(ExecutorClosedError):
        executor.spawn(coroutine)
    coroutine.close()


def test_a_dropped_executor_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning up runs, it is reported once, and nothing is left behind."""
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await Future.pending()
        finally:
            cleaned.append("finally")

    clock = ManualClock()
    executor = Executor(clock=clock)
    executor.fileno()
    executor.spawn(work())
    executor.run_until_stalled()
    reference = weakref.ref(executor)
    del executor
    gc.collect()

    assert reference() is None
    assert cleaned == ["finally"]
    assert caplog.text.count("closed with 1 task(s) pending") == 1
    clock.advance(1)


def test_an_executor_whose_thread_has_ended_can_be_closed_and_taken_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody is left who could hand it over."""
    made: list[Any] = []

    def drive() -> None:
        executor = Executor()
        made.append(executor)
        made.append(executor.spawn(Promise[int]().future().catch(lambda _: 5)))
        executor.step()

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    executor, handle = made

    assert executor.run_until_complete(handle) == 5
    executor.spawn(Future.pending())
    executor.close()
    assert "1 task(s) pending" in caplog.text
