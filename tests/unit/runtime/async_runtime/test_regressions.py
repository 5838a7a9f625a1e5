"""Defects of the runtime that this one replaces: none of them may come back."""

# A spawned task runs on without its handle, fakes take anything:
# mypy: disable-error-code="unused-awaitable"
# ruff: noqa: ANN401

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, sleep
from runtime.async_runtime.running import running


class Parks:
    """Counts how often the loop goes to sleep, and for how long it wants to."""

    def __init__(self, before: Any) -> None:
        self.spans: list[float | None] = []
        self.before = before

    def wait(self, _future: Any, limit: float | None, block: Any, _needed: Any = None) -> bool:
        """Let *before* act, then sleep."""
        self.spans.append(limit)
        self.before()
        return bool(block())


@pytest.mark.slow
def test_a_wait_of_more_than_a_second_is_no_stuck_loop() -> None:
    """Work in another thread takes as long as it takes."""
    promise: Promise[int] = Promise()
    timer = threading.Timer(1.2, promise.resolve, [5])
    timer.start()
    with Executor() as executor:
        assert executor.run_until_complete(promise.future()) == 5
    timer.join()


def test_an_idle_loop_sleeps_once_until_it_is_woken() -> None:
    """No polling in between, also with a timer an hour away."""
    promise: Promise[int] = Promise()
    parks = Parks(lambda: threading.Thread(target=promise.try_resolve, args=(5,)).start())
    running.blocker = parks
    try:
        with Executor() as executor:
            hour = executor.spawn(sleep(3600))
            assert executor.run_until_complete(promise.future()) == 5
            hour.cancel()
    finally:
        running.blocker = None

    assert len(parks.spans) == 1
    assert 3590 < (parks.spans[0] or 0) <= 3600


def test_two_tasks_that_await_one_future_are_both_woken(executor: Executor) -> None:
    """Not only the one that came last."""
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise.future()

    handles = [executor.spawn(wait()), executor.spawn(wait())]
    executor.run_until_stalled()
    promise.resolve(3)
    executor.run_until_stalled()

    assert [handle.result() for handle in handles] == [3, 3]


def test_a_failed_result_completes_at_once(executor: Executor) -> None:
    """`Future.from_result(error)` is a failed future, not one that never ends."""
    failed: Future[int] = Future.from_result(ValueError("x"))

    with pytest.raises(ValueError, match="x"):
        executor.run_until_complete(failed)


def test_a_future_can_be_awaited_in_a_coroutine(executor: Executor) -> None:
    """`await future` is no TypeError, whatever kind of future it is."""

    async def main() -> list[object]:
        return [
            await Future.ready(1),
            await Promise.resolved(2).future(),
            await Future.ready(3).map(str),
            await Future.all([Future.ready(4)]),
        ]

    assert executor.run_until_complete(main()) == [1, 2, "3", [4]]


def test_setting_the_date_moves_no_deadline(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is monotonic: the wall clock is never asked."""
    monkeypatch.setattr(time, "time", lambda: pytest.fail("asked for the date"))
    with Executor() as real:
        real.run_until_complete(sleep(0.001))
    executor.run_until_complete(sleep(1))
