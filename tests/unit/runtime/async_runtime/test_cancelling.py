"""Asking a task to stop: before, during and after it runs, from wherever."""

# Fakes take anything; any error is the case; the error is looked at where it passes:
# ruff: noqa: ANN401, BLE001, PT017

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Poll,
    Promise,
    Waker,
    current_task,
    sleep,
    yield_now,
)
from runtime.async_runtime.running import running
from runtime.errors import CancellationError, CancelRequestedError, TaskCancelledError
from runtime.testing import ManualClock, race


async def forever() -> None:
    """Wait until cancelled."""
    await Future.pending()


def test_cancel_before_the_first_step_never_runs_it(executor: Executor) -> None:
    """It ends at once, and Python does not warn about it."""

    async def never() -> None:
        pytest.fail("ran")

    handle = executor.spawn(never())

    assert handle.cancel() is True
    assert handle.is_cancelled()
    assert handle.cancelled()
    assert handle.cancel() is True
    assert executor.active_tasks() == 0
    executor.run()


def test_cancel_while_waiting_runs_the_cleaning_up(executor: Executor) -> None:
    """At its await, with what it needs to await itself."""
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await forever()
        except CancelRequestedError as request:
            assert request.reason is None
            await sleep(1)
            cleaned.append("slept")
            raise
        finally:
            cleaned.append("finally")

    handle = executor.spawn(work())
    executor.run_until_stalled()
    assert handle.cancel() is True
    assert handle.is_pending()

    executor.run()

    assert cleaned == ["slept", "finally"]
    with pytest.raises(TaskCancelledError, match="cancelled"):
        handle.result()
    with pytest.raises(CancellationError):
        handle.poll()
    assert handle.error() is None


def test_cancel_after_the_end_changes_nothing(executor: Executor) -> None:
    """False, and the result stands."""
    handle = executor.spawn(Future.ready(1))
    executor.run()

    assert handle.cancel() is False
    assert handle.result() == 1


def test_a_task_may_swallow_the_request_and_go_on(executor: Executor) -> None:
    """Its value is its value."""

    async def stubborn() -> int:
        with contextlib.suppress(CancelRequestedError):
            await forever()
        await yield_now()
        return 7

    handle = executor.spawn(stubborn())
    executor.run_until_stalled()
    handle.cancel()

    assert executor.run_until_complete(handle) == 7


def test_except_exception_does_not_swallow_the_request(executor: Executor) -> None:
    """Most code that catches everything means errors."""

    async def careless() -> None:
        try:
            await forever()
        except Exception:
            pytest.fail("swallowed")

    handle = executor.spawn(careless())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert handle.is_cancelled()


def test_raising_in_finally_is_a_failure(executor: Executor) -> None:
    """The error is not lost behind the cancellation."""

    async def broken() -> None:
        try:
            await forever()
        finally:
            raise KeyError("in finally")

    handle = executor.spawn(broken())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert handle.is_failed()
    assert isinstance(handle.error(), KeyError)


def test_cancelled_twice_before_it_sees_it_is_one_request(executor: Executor) -> None:
    """The second one must not cut off the cleaning up."""
    cleaned: list[int] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            await sleep(1)
            cleaned.append(1)

    handle = executor.spawn(work())
    executor.run_until_stalled()
    assert handle.cancel() is True
    assert handle.cancel() is True
    executor.run()

    assert cleaned == [1]
    assert handle.is_cancelled()


def test_cancelled_again_while_cleaning_up_is_a_second_request(executor: Executor) -> None:
    """Whoever insists can end a clean-up that hangs."""
    seen: list[str] = []

    async def work() -> None:
        try:
            await forever()
        except CancelRequestedError:
            seen.append("first")
            try:
                await forever()
            except CancelRequestedError:
                seen.append("second")
                raise

    handle = executor.spawn(work())
    for _ in range(2):
        executor.run_until_stalled()
        handle.cancel()
    executor.run()

    assert seen == ["first", "second"]
    assert handle.is_cancelled()


def test_a_task_that_cancels_itself_stops_at_its_next_await(executor: Executor) -> None:
    """Not in the middle of its own statement."""
    seen: list[str] = []

    async def work() -> None:
        assert current_task().cancel() is True
        seen.append("still here")
        await yield_now()
        pytest.fail("went on")

    handle = executor.spawn(work())
    executor.run()

    assert seen == ["still here"]
    assert handle.is_cancelled()


def test_a_task_that_cancels_itself_and_never_awaits_completes(executor: Executor) -> None:
    """It was asked, and was done before it could hear it."""

    async def work() -> int:
        current_task().cancel()
        return 1

    assert executor.run_until_complete(work()) == 1


def test_cancelling_a_task_cancels_the_future_that_it_drives(executor: Executor) -> None:
    """At once on the loop's thread; nobody else is waiting through this task."""
    promise: Promise[int] = Promise()
    handle = executor.spawn(promise.future())
    executor.run_until_stalled()

    handle.cancel()

    assert handle.is_cancelled()
    assert promise.is_completed()
    assert promise.future()._waiting() == []


def test_cancelling_a_task_that_awaits_leaves_the_future_to_others(executor: Executor) -> None:
    """The future may have other readers."""
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise.future()

    handles = [executor.spawn(wait()) for _ in range(2)]
    executor.run_until_stalled()
    handles[0].cancel()
    executor.run_until_stalled()
    assert handles[0].is_cancelled()
    assert promise.future()._waiting() == [handles[1]]

    promise.resolve(1)

    assert executor.run_until_complete(handles[1]) == 1


@pytest.mark.parametrize("kind", ["waiting", "unstarted", "future"])
def test_cancel_from_another_thread(kind: str) -> None:
    """It is asked there and ends on its own thread; a parked loop wakes up for it."""
    promise: Promise[int] = Promise()
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()
    asked = threading.Event()

    class Parking:
        def wait(self, _future: Any, _limit: Any, block: Any, _needed: Any = None) -> bool:
            parked.set()
            return bool(block())

    parked = threading.Event()

    def drive() -> None:
        running.blocker = Parking()
        with Executor() as executor:
            executor.step()  # this thread is the owner
            handle: Any = executor.spawn(promise.future() if kind == "future" else forever())
            made.put(handle)
            if kind == "unstarted":
                assert asked.wait(10)
            with pytest.raises(TaskCancelledError):
                executor.run_until_complete(handle)

    def cancel() -> None:
        handle = made.get(timeout=10)
        assert kind == "unstarted" or parked.wait(10)
        assert handle.cancel() is True
        asked.set()

    race(drive, cancel)
    assert promise.is_completed() is (kind == "future")


def test_cancel_of_many_from_many_threads_while_they_end() -> None:
    """Each ends exactly once, and no cancel raises."""
    for _ in range(10):
        with Executor() as executor:
            handles = [executor.spawn(yield_now()) for _ in range(50)]

            def cancel(handles: list[Any] = handles) -> None:
                for handle in handles:
                    handle.cancel()

            race(executor.run, cancel, cancel)
            assert all(not handle.is_pending() for handle in handles)


def test_cancel_wins_over_a_value_that_comes_in_the_same_turn(executor: Executor) -> None:
    """Asked before its next await, it is asked at that await, value or not."""
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise.future()

    handle = executor.spawn(wait())
    executor.run_until_stalled()
    promise.resolve(1)
    handle.cancel()
    executor.run()

    assert handle.is_cancelled()


def test_a_cancelled_waiter_takes_no_wake_away_from_others(executor: Executor) -> None:
    """It was woken for a value that it never took: the others have it too."""
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise.future()

    handles = [executor.spawn(wait()) for _ in range(3)]
    executor.run_until_stalled()
    promise.resolve(5)
    handles[0].cancel()
    executor.run()

    assert [handle.is_cancelled() for handle in handles] == [True, False, False]
    assert [handle.result() for handle in handles[1:]] == [5, 5]


def test_raising_the_request_without_being_asked_is_a_failure(executor: Executor) -> None:
    """A task that nobody cancelled must not look cancelled."""

    async def lie() -> None:
        raise CancelRequestedError("nobody asked")

    handle = executor.spawn(lie())
    executor.run()

    assert handle.is_failed()


def test_cancelling_an_ended_awaited_task_is_seen_by_the_run(clock: ManualClock) -> None:
    """A task that ends out of turn must not leave its run asleep."""
    with Executor(clock=clock) as executor:
        handle = executor.spawn(Future.pending())

        async def canceller() -> None:
            await sleep(1)
            handle.cancel()
            await sleep(1000)

        executor.spawn(canceller())
        with pytest.raises(TaskCancelledError):
            executor.run_until_complete(handle)
        assert clock.now() == 1


def test_a_future_whose_cancel_raises_is_reported_and_disturbs_nobody(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled at once, by a request, and by the end of its executor."""

    class Broken(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:  # noqa: ARG002, B008
            return Poll.pending()

        def cancel(self) -> bool:
            raise KeyError("in cancel")

    at_once, asked = executor.spawn(Broken()), executor.spawn(Broken())
    with Executor() as other:
        left: list[Any] = [other.spawn(Broken()), other.spawn(forever())]
        other.run_until_stalled()
    assert at_once.cancel() is True
    asked._request_stop(None)
    executor.run()

    assert all(handle.is_cancelled() for handle in (at_once, asked, *left))
    assert caplog.text.count("drove, raised") == 3
