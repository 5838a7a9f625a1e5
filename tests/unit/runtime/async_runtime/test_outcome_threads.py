"""Reading a future from plain threads: result, exception, done callbacks."""

# Fakes take anything:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, OutcomeFuture, Promise
from runtime.async_runtime.running import running
from runtime.errors import CancellationError, FutureTimeoutError, WouldBlockError
from runtime.testing import CountingWaker, race


def test_result_waits_for_another_thread() -> None:
    """It parks, and is woken by the settler."""
    promise: Promise[int] = Promise()

    def settle() -> int:
        promise.resolve(3)
        return 0

    assert race(promise.future().result, settle) == [3, 0]


def test_result_raises_the_error_and_exception_returns_it() -> None:
    """Both wait; a cancellation is an error like any other."""
    failed = Promise.rejected(KeyError("k")).future()
    with pytest.raises(KeyError):
        failed.result()
    assert isinstance(failed.exception(), KeyError)
    assert Promise.resolved(1).future().exception() is None

    promise: Promise[int] = Promise()

    def cancel() -> None:
        promise.cancel()

    waited, _ = race(promise.future().exception, cancel)
    assert isinstance(waited, CancellationError)


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_wait_that_takes_too_long_says_so_and_leaves_nothing(timeout: float) -> None:
    """The work goes on; another wait may get it."""
    promise: Promise[int] = Promise()

    with pytest.raises(FutureTimeoutError, match=f"exceeded {timeout}s"):
        promise.future().result(timeout)
    with pytest.raises(TimeoutError):
        promise.future().exception(timeout)

    assert promise.future()._waiting() == []
    promise.resolve(1)
    assert promise.future().result(timeout) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_is_no_span_is_refused(timeout: float) -> None:
    """Even a huge one is fine."""
    promise: Promise[int] = Promise()
    with pytest.raises(ValueError, match="timeout"):
        promise.future().result(timeout)
    with pytest.raises(TypeError, match="number of seconds"):
        promise.future().result("1")  # type: ignore[arg-type]  # the case


def test_callbacks_run_on_the_settling_thread_in_the_context_of_their_adding() -> None:
    """Before and after the settlement alike."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    promise: Promise[int] = Promise()
    seen: list[tuple[str, str, object]] = []

    def note(future: OutcomeFuture[int]) -> None:
        seen.append((threading.current_thread().name, variable.get(), future.result()))

    variable.set("adder")
    promise.future().add_done_callback(note)
    thread = threading.Thread(target=promise.resolve, args=(1,), name="settler")
    thread.start()
    thread.join()
    promise.future().add_done_callback(note)

    assert seen == [("settler", "adder", 1), ("MainThread", "adder", 1)]


def test_a_callback_that_raises_is_reported_and_others_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The settler is not disturbed either."""
    promise: Promise[int] = Promise()
    done: list[object] = []
    promise.future().add_done_callback(lambda _: 1 // 0)
    promise.future().add_done_callback(done.append)

    promise.resolve(1)

    assert done == [promise.future()]
    assert "ZeroDivisionError" in caplog.text


def test_an_interrupt_in_a_callback_passes_after_the_others_ran() -> None:
    """Also those that were lined up behind it by the callbacks themselves."""
    first: Promise[int] = Promise()
    second: Promise[int] = Promise()
    done: list[object] = []

    def interrupt(_future: object) -> None:
        second.resolve(2)  # its callback lines up behind this one
        raise KeyboardInterrupt

    second.future().add_done_callback(done.append)
    first.future().add_done_callback(interrupt)
    first.future().add_done_callback(done.append)

    with pytest.raises(KeyboardInterrupt):
        first.resolve(1)

    assert len(done) == 2


def test_a_callback_may_settle_and_add_and_read() -> None:
    """All of it works from inside."""
    first: Promise[int] = Promise()
    second: Promise[int] = Promise()
    seen: list[int] = []

    def react(future: OutcomeFuture[int]) -> None:
        second.resolve(future.result() + 1)
        future.add_done_callback(lambda again: seen.append(again.result()))

    first.future().add_done_callback(react)
    first.resolve(1)

    assert second.future().result() == 2
    assert seen == [1]


def test_a_callback_may_re_enter_an_executor() -> None:
    """It is ordinary code on the thread that settles."""
    with Executor() as executor:
        promise: Promise[int] = Promise()
        seen: list[int] = []
        promise.future().add_done_callback(
            lambda _: seen.append(executor.run_until_complete(Future.ready(5)))
        )
        promise.resolve(1)

    assert seen == [5]


def test_a_blocker_is_told_before_its_thread_waits() -> None:
    """A pool uses this to keep its threads busy; a look without waiting does not concern it."""
    promise: Promise[int] = Promise()
    asked: list[Any] = []

    class Settling:
        def wait(self, future: Any, limit: Any, block: Any, _needed: Any = None) -> bool:
            asked.append((future, limit))
            promise.try_resolve(1)
            return bool(block())

    running.blocker = Settling()
    try:
        with pytest.raises(TimeoutError):
            promise.future().result(0)
        assert promise.future().result(5) == 1
    finally:
        running.blocker = None
    assert asked == [(promise.future(), 5)]


def test_a_thread_that_may_not_block_is_told() -> None:
    """An executor made with block=False lends its thread from a host."""
    promise: Promise[int] = Promise()

    async def main() -> int:
        return promise.future().result()

    with Executor(block=False) as executor, pytest.raises(WouldBlockError, match="await it"):
        executor.run_until_complete(main())


def test_a_future_polled_by_executors_in_two_threads_works_in_both() -> None:
    """Every waker is kept, whoever it belongs to."""
    promise: Promise[int] = Promise()
    ready = CountingWaker()

    def drive() -> int:
        async def main() -> int:
            ready.wake()
            return await promise.future()

        with Executor() as executor:
            return executor.run_until_complete(main())

    def settle() -> int:
        assert ready.wait(2)
        promise.resolve(7)
        return 0

    assert race(drive, drive, settle) == [7, 7, 0]
