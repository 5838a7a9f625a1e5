"""One executor, several threads: who may drive, and what everybody may do."""

# Fakes take anything:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, Poll, Promise, sleep, yield_now
from runtime.async_runtime.running import running
from runtime.errors import InvalidStateError, WrongThreadError
from runtime.testing import race


def in_thread(call: Any) -> Any:
    """Return what *call* gives in another thread, or the error that it raises."""
    try:
        return race(call)[0]
    except ExceptionGroup as group:
        return group.exceptions[0]


@pytest.mark.parametrize("call", ["step", "run", "run_until_stalled", "hand_over"])
def test_another_thread_may_not_drive(executor: Executor, call: str) -> None:
    """A clear error, never corruption."""
    executor.step()

    error = in_thread(getattr(executor, call))

    assert isinstance(error, WrongThreadError)
    assert "hand_over" in str(error)


def test_another_thread_may_not_close_while_it_runs(executor: Executor) -> None:
    """It says so, and nothing has happened."""

    async def main() -> BaseException:
        error = in_thread(executor.close)
        await yield_now()
        assert isinstance(error, InvalidStateError)
        return error

    assert "while it runs" in str(executor.run_until_complete(main()))


def test_after_a_hand_over_the_next_thread_owns_it(executor: Executor) -> None:
    """Tasks and timers go along."""
    handle = executor.spawn(sleep(1).map(lambda _: threading.current_thread().name))
    executor.run_until_stalled()
    executor.hand_over()

    assert in_thread(lambda: executor.run_until_complete(handle)) == "race-0"


def test_two_threads_that_want_to_drive_first_one_gets_it() -> None:
    """Becoming the owner is one atomic step."""
    for _ in range(20):
        inside, leave = threading.Event(), threading.Event()

        async def main(inside: threading.Event = inside, leave: threading.Event = leave) -> None:
            inside.set()
            leave.wait(10)

        with Executor() as executor:

            def drive(executor: Executor = executor, leave: threading.Event = leave) -> bool:
                try:
                    executor.run()
                except WrongThreadError:
                    leave.set()
                    return False
                return True

            executor.spawn(main())
            assert sorted(race(drive, drive)) == [False, True]


def test_spawn_from_another_thread_wakes_a_sleeping_loop(executor: Executor) -> None:
    """Without a timeout of its own: a lost wake-up would hang."""
    got: Promise[int] = Promise()

    async def answer() -> int:
        await yield_now()
        return 5

    async def main() -> int:
        return await got.future()

    class Spawning:
        def wait(self, _future: Any, _limit: Any, block: Any, _needed: Any = None) -> bool:
            running.blocker = None
            in_thread(
                lambda: executor.spawn(answer()).add_done_callback(
                    lambda task: got.resolve(task.result())
                )
            )
            return bool(block())

    running.blocker = Spawning()
    try:
        assert executor.run_until_complete(main()) == 5
    finally:
        running.blocker = None


def test_a_wake_between_pending_and_park_is_not_lost(executor: Executor) -> None:
    """The poll has said pending, the thread does not sleep yet: the wake falls in between."""
    promise: Promise[int] = Promise()
    park = executor._park
    woken: list[str] = []

    def wake_then_park(until: Any = None) -> None:  # Any: a task
        if not woken:
            woken.append("between")
            in_thread(lambda: promise.resolve(7))
        park(until)

    executor._park = wake_then_park  # type: ignore[method-assign]  # the probe

    async def main() -> int:
        return await promise.future()

    assert executor.run_until_complete(main(), timeout=10) == 7
    assert woken == ["between"]


def test_a_wake_between_arming_and_sleeping_is_not_lost(executor: Executor) -> None:
    """It signals before the thread sleeps: the signal is remembered."""
    promise: Promise[int] = Promise()

    class Waking:
        def wait(self, _future: Any, _limit: Any, block: Any, _needed: Any = None) -> bool:
            running.blocker = None
            in_thread(lambda: promise.resolve(7))
            return bool(block())

    async def main() -> int:
        return await promise.future()

    running.blocker = Waking()
    assert executor.run_until_complete(main()) == 7


def test_a_wake_during_the_poll_is_one_more_poll(executor: Executor) -> None:
    """The future said pending, but was woken before it had said so."""
    polls: list[int] = []

    class WokenInside(Future[int]):
        def poll(self, waker: Any = None) -> Any:
            polls.append(1)
            if len(polls) == 1:
                in_thread(waker.wake)
                return Poll.pending()
            return Poll.ready(3)

    assert executor.run_until_complete(WokenInside()) == 3
    assert len(polls) == 2


def test_a_wake_before_the_first_poll_and_twice_is_one_poll(executor: Executor) -> None:
    """A task that is in the queue is not put there again."""
    handle = executor.spawn(Future.ready(1))
    handle.wake()
    handle.wake()

    assert executor.step()
    assert executor.step() is False


def test_reading_a_task_where_its_loop_runs_is_an_error_not_a_deadlock(
    executor: Executor,
) -> None:
    """Only this thread could drive it."""
    promise: Promise[int] = Promise()
    handle = executor.spawn(promise.future())
    executor.step()

    with pytest.raises(InvalidStateError, match="would block the thread that runs it"):
        handle.result(5)

    async def main() -> None:
        with pytest.raises(InvalidStateError, match="await it instead"):
            handle.exception()

    executor.run_until_complete(main())
    promise.resolve(1)
    executor.run()


def test_reading_a_task_from_another_thread_waits_for_it(executor: Executor) -> None:
    """result() with a timeout, None included; without one it does not wait."""
    promise: Promise[int] = Promise()
    handle = executor.spawn(promise.future())
    waiting = threading.Event()

    def read() -> int:
        with pytest.raises(InvalidStateError, match="not completed"):
            handle.result()
        with pytest.raises(TimeoutError):
            handle.result(0.001)
        waiting.set()
        return handle.result(None)

    async def settle() -> None:
        while not waiting.is_set():
            await yield_now()
        promise.resolve(4)

    def drive() -> int:
        executor.run_until_complete(settle())
        return executor.run_until_complete(handle)

    assert race(read, drive) == [4, 4]


def test_an_unstarted_task_of_a_loop_that_nobody_drives_is_cancelled_at_once() -> None:
    """By any thread, while another one wants to begin to drive."""
    for _ in range(20):
        with Executor() as executor:
            handles = [executor.spawn(yield_now()) for _ in range(20)]

            def cancel(handles: list[Any] = handles) -> None:
                for handle in reversed(handles):
                    handle.cancel()

            race(cancel, executor.run, cancel)
            assert executor.active_tasks() == 0


@pytest.mark.usefixtures("eager_thread_switches")
def test_many_threads_spawn_and_settle_and_nothing_is_lost() -> None:
    """A burst of both from four threads, into a loop that sleeps in between."""
    with Executor() as executor:
        total = 0

        async def add(future: Future[int]) -> None:
            nonlocal total
            value = await future
            total += value

        def produce() -> int:
            for _ in range(100):
                promise: Promise[int] = Promise()
                handle = executor.spawn(add(promise.future()))
                promise.resolve(1)
                handle.result(10)
            return 100

        def consume() -> int:
            async def main() -> int:
                while total < 400:
                    await sleep(0.001)
                return total

            return executor.run_until_complete(main(), timeout=20)

        assert race(produce, produce, produce, produce, consume, timeout=30)[-1] == 400
