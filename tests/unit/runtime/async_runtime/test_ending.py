"""Errors that nobody reads, interrupts, and the end of an executor."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; a table of
# calls:
# ruff: noqa: ANN401, ARG005, RUF061

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, UnhandledError, sleep, yield_now

if TYPE_CHECKING:
    from runtime.testing import ManualClock


async def fail(error: BaseException) -> None:
    """Fail."""
    raise error


def sender(executor: Executor, number: int, seen: threading.Event) -> threading.Thread:
    """Return a thread that sends a signal to the main thread once *executor* is parked there.

    And again until it is *seen*, as somebody at a keyboard: the interpreter may be between its last
    look for signals and its wait; then it sees the one with the next.
    """

    def send() -> None:
        while not executor._parker.armed and not seen.wait(0.001):
            pass
        while not seen.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            seen.wait(0.01)

    return threading.Thread(target=send)


def test_an_error_that_nobody_read_is_told_once_with_the_place_of_the_spawn() -> None:
    """When the last object that could show it is gone."""
    reports: list[UnhandledError] = []
    with Executor(on_unhandled=reports.append) as executor:
        handle = executor.spawn(fail(KeyError("k")))
        executor.run()
        assert not reports

        del handle
        gc.collect()

    assert len(reports) == 1
    assert isinstance(reports[0].error, KeyError)
    assert "test_ending.py:" in reports[0].place
    assert "test_an_error_that_nobody_read" in reports[0].place
    assert "'fail' pending" in str(reports[0]) or "'fail'" in str(reports[0])
    assert repr(reports[0]).startswith("<UnhandledError")


def test_it_is_told_even_while_the_loop_sleeps_on(clock: ManualClock) -> None:
    """The loop itself must not keep the last task that it polled."""
    reports: list[UnhandledError] = []
    told: list[int] = []

    async def main() -> None:
        executor.spawn(fail(KeyError("k")))
        await sleep(3600)
        told.append(len(reports))

    with Executor(clock=clock, on_unhandled=reports.append) as executor:
        executor.run_until_complete(main())

    assert told == [1]


@pytest.mark.parametrize(
    "look",
    [
        lambda executor, handle: handle.error(),
        lambda executor, handle: handle.exception(),
        lambda executor, handle: pytest.raises(KeyError, handle.result),
        lambda executor, handle: pytest.raises(KeyError, handle.poll),
        lambda executor, handle: pytest.raises(KeyError, executor.run_until_complete, handle),
    ],
)
def test_an_error_that_somebody_read_is_not_told(look: Any) -> None:
    """However it was read, early or late."""
    reports: list[UnhandledError] = []
    with Executor(on_unhandled=reports.append) as executor:
        handle = executor.spawn(fail(KeyError("k")))
        executor.run()
        look(executor, handle)
        del handle
        gc.collect()

    assert not reports


def test_the_default_is_a_log_line_with_place_and_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At error level."""
    with Executor() as executor:
        executor.spawn(fail(KeyError("k")))
        executor.run()

    assert "nobody looked" in caplog.text
    assert "spawned at" in caplog.text
    assert "raise error" in caplog.text
    assert caplog.records[0].levelname == "ERROR"


def test_a_hook_that_raises_is_reported_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It runs where there is nobody to raise to."""

    def broken(_report: UnhandledError) -> None:
        raise ValueError("hook")

    with Executor(on_unhandled=broken) as executor:
        executor.spawn(fail(KeyError("k")))
        executor.run()

    assert "on_unhandled" in caplog.text
    assert "ValueError: hook" in caplog.text


# ---- interrupts ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interrupt_in_a_task_leaves_the_run_at_once(
    executor: Executor, error: BaseException
) -> None:
    """Other tasks keep their state, the executor stays usable, nothing is told twice."""
    reports: list[UnhandledError] = []
    executor._on_unhandled = reports.append
    log: list[str] = []

    async def other() -> None:
        log.append("before")
        await yield_now()
        await sleep(1)
        log.append("after")

    handle = executor.spawn(other())
    failing = executor.spawn(fail(error))
    with pytest.raises(type(error)):
        executor.run_until_complete(sleep(5))
    assert log == ["before"]
    assert failing.is_failed()

    del failing
    executor.run_until_complete(handle)

    assert log == ["before", "after"]
    assert not reports


def test_ctrl_c_while_parked_leaves_the_run_at_once() -> None:
    """What was given is cancelled, other tasks keep their state."""
    cleaned: list[str] = []
    promise: Promise[int] = Promise()
    seen = threading.Event()

    async def main() -> None:
        executor.spawn(promise.future())
        try:
            await Future.pending()
        finally:
            cleaned.append("main")

    def interrupt(_number: int, _frame: object) -> None:
        if not seen.is_set():
            seen.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with Executor() as executor:
            thread = sender(executor, signal.SIGINT, seen)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                executor.run_until_complete(main())
            thread.join()
            promise.resolve(1)
            executor.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert cleaned == ["main"]


def test_an_interrupt_between_queue_and_poll_loses_no_wake_up(executor: Executor) -> None:
    """A signal may hit the loop itself: every task is looked at once more."""
    turns: list[int] = []

    async def count() -> None:
        turns.append(1)
        await yield_now()
        turns.append(2)

    executor.spawn(count())
    pop = executor._pop

    def interrupted() -> Any:
        executor._pop = pop
        pop()  # the task is out of the queue, and was not polled
        raise KeyboardInterrupt

    executor._pop = interrupted
    with pytest.raises(KeyboardInterrupt):
        executor.run()
    executor.run()

    assert turns == [1, 2]


def test_a_signal_handler_may_wake_and_settle() -> None:
    """It interrupts the loop anywhere, also where it is parked."""
    promise: Promise[int] = Promise()
    seen = threading.Event()

    def settle(_number: int, _frame: object) -> None:
        promise.try_resolve(9)
        seen.set()

    before = signal.signal(signal.SIGUSR1, settle)
    try:
        with Executor() as executor:
            thread = sender(executor, signal.SIGUSR1, seen)
            thread.start()
            assert executor.run_until_complete(promise.future(), timeout=10) == 9
            thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_finalizer_may_settle(executor: Executor) -> None:
    """The garbage collector runs in the middle of anything."""
    promise: Promise[int] = Promise()

    class Settling:
        def __del__(self) -> None:
            promise.resolve(1)

    async def main() -> int:
        cycle: list[Any] = [Settling()]
        cycle.append(cycle)
        del cycle
        executor.spawn(sleep(1).map(lambda _: gc.collect()))
        return await promise.future()

    assert executor.run_until_complete(main()) == 1
