"""Waiting for time, and letting others run."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, sleep, yield_now
from runtime.async_runtime.sleeping import SleepFuture
from runtime.errors import CancellationError
from runtime.testing import CountingWaker, ManualClock


def test_sleepers_wake_in_the_order_of_their_deadlines(
    executor: Executor, clock: ManualClock
) -> None:
    """Equal ones in the order of their arrival."""
    log: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await sleep(seconds)
        log.append((name, clock.now()))

    for name, seconds in (("c", 3), ("a", 1), ("b1", 2), ("b2", 2), ("now", 0)):
        executor.spawn(sleeper(name, seconds))
    executor.run()

    assert log == [("now", 0), ("a", 1), ("b1", 2), ("b2", 2), ("c", 3)]


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_spans_that_make_no_sense_are_refused(seconds: float) -> None:
    """When the future is made."""
    with pytest.raises(ValueError, match="seconds"):
        sleep(seconds)


def test_infinity_sleeps_until_cancelled(executor: Executor) -> None:
    """No timer is kept for it."""
    handle = executor.spawn(sleep(float("inf")))
    executor.run_until_stalled()
    assert executor.next_deadline() is None

    handle.cancel()
    assert handle.is_cancelled()


def test_the_span_counts_from_the_first_interest(executor: Executor, clock: ManualClock) -> None:
    """Not from the making."""
    future = sleep(2)
    clock.advance(10)
    executor.run_until_complete(future)

    assert clock.now() == 12
    executor.run_until_complete(future)
    assert clock.now() == 12


def test_many_wait_for_one_sleep(executor: Executor, clock: ManualClock) -> None:
    """It is a future like any other: every waker is kept."""
    future = sleep(2)

    async def wait() -> float:
        await future
        return clock.now()

    waiting: list[Any] = [future.map(lambda _: clock.now()), wait(), wait()]

    assert executor.run_until_complete(Future.all(waiting)) == [2, 2, 2]


def test_the_timer_is_taken_back_with_the_last_interest_and_set_again(
    executor: Executor, clock: ManualClock
) -> None:
    """The deadline stays what it was."""
    future = sleep(10)

    async def wait() -> None:
        await future

    first, second = executor.spawn(wait()), executor.spawn(wait())
    executor.run_until_stalled()
    first.cancel()
    executor.run_until_stalled()
    assert executor.next_deadline() == 10
    second.cancel()
    executor.run_until_stalled()
    assert executor.next_deadline() is None

    clock.advance(4)
    executor.run_until_complete(wait())

    assert clock.now() == 10


def test_cancel_settles_it(executor: Executor) -> None:
    """Those who wait are told, and the timer is taken back."""
    future = sleep(10)
    handle = executor.spawn(future.map(str))
    executor.run_until_stalled()

    assert future.cancel() is True
    assert future.cancel() is False
    executor.run()

    assert isinstance(handle.error(), CancellationError)
    assert executor.next_deadline() is None
    assert repr(future) == "<sleep 10s>"


def test_a_sleep_outside_of_any_executor_uses_the_deadline_queue(waker: CountingWaker) -> None:
    """Polled by hand, and read from a plain thread."""
    far = sleep(3600)
    assert far.poll().is_pending()
    assert far.poll(waker).is_pending()
    assert far.cancel()

    future = sleep(0.001)
    future.poll(waker)
    assert waker.wait(2)
    assert future.poll(waker).is_ready()
    assert sleep(0.001).result(10) is None


def test_a_sleep_that_is_wanted_again_while_it_is_given_up(
    executor: Executor, waker: CountingWaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread comes between the look and the cancelling of the timer."""
    future = sleep(3)
    waiting = SleepFuture._waiting
    nobody = [True]

    def nobody_then_all(self: SleepFuture) -> list[Any]:
        return [] if nobody and nobody.pop() else list(waiting(self))

    async def main() -> None:
        assert future.poll(waker).is_pending()
        with monkeypatch.context() as patch:
            patch.setattr(SleepFuture, "_waiting", nobody_then_all)
            future._unsubscribe(CountingWaker())
        await sleep(5)

    executor.run_until_complete(main())
    assert waker.count == 1


def test_yield_now_lets_every_other_task_have_its_turn(executor: Executor) -> None:
    """In order."""
    log: list[str] = []

    async def work(name: str) -> None:
        for turn in range(2):
            log.append(f"{name}{turn}")
            await yield_now()

    for name in "ab":
        executor.spawn(work(name))
    executor.run()

    assert log == ["a0", "b0", "a1", "b1"]


def test_yield_now_is_one_bare_yield() -> None:
    """It asks for nothing but a turn, so it costs no look at which loop it is in."""
    turn = yield_now()

    assert turn.send(None) is None
    with pytest.raises(StopIteration):
        turn.send(None)
