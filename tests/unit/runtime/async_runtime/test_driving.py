"""How runs end: stop, budgets of polls, time limits, and what they refuse."""

# Callers without types; a table of calls:
# ruff: noqa: ANN401, ARG005
# mypy: disable-error-code="unused-awaitable, arg-type, type-var"

from __future__ import annotations

import gc
import math
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, TaskGroup, sleep, yield_now
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def ticking() -> Iterator[Executor]:
    """An executor whose clock moves on when there is nothing to do."""
    with Executor(clock=ManualClock(auto_advance=True)) as executor:
        yield executor


@pytest.mark.parametrize("order", ["fifo", *range(5)])
def test_stop_lets_no_other_task_have_its_turn(order: Any) -> None:
    """However many are ready: it returns after the poll under way."""
    seen: list[str] = []

    async def stopper() -> None:
        seen.clear()
        executor.stop()
        seen.append("stopped")

    async def other() -> None:
        seen.append("other")

    with Executor(order=order) as executor:
        executor.spawn(stopper())
        for _ in range(20):
            executor.spawn(other())
        executor.run()
        assert seen == ["stopped"]

        executor.run()
        assert not executor.active_tasks()


@pytest.mark.parametrize("max_polls", [1, 2, 17, 100])
def test_max_polls_counts_nothing_but_polls(max_polls: int) -> None:
    """Timers, and tasks that ended while they were queued, cost nothing of the budget."""
    polls = 0

    async def count() -> None:
        nonlocal polls
        while True:
            polls += 1
            await yield_now()

    with Executor(clock=ManualClock()) as executor:
        sleeper = executor.spawn(sleep(1000))
        executor.run_until_stalled()
        counter = executor.spawn(count())
        ended = executor.spawn(sleep(1))
        ended.cancel()

        assert executor.run_until_stalled(max_polls=max_polls) == "max_polls"

        assert polls == max_polls
        counter.cancel()
        sleeper.cancel()
        executor.run()


def test_a_nested_run_costs_nothing_of_the_budget() -> None:
    """It is part of one poll."""
    polls = 0

    async def count() -> None:
        nonlocal polls
        while True:
            polls += 1
            executor.run_until_complete(sleep(0))
            await yield_now()

    with Executor(clock=ManualClock(auto_advance=True)) as executor:
        counter = executor.spawn(count())

        assert executor.run_until_stalled(max_polls=100) == "max_polls"

        assert polls == 100
        counter.cancel()
        executor.run()


def test_a_handle_of_another_executor_is_not_cancelled_by_a_timeout(ticking: Executor) -> None:
    """Who was given a handle does not own its task."""
    with Executor(clock=ManualClock()) as other:
        handle = other.spawn(sleep(5))

        with pytest.raises(TimeoutError):
            ticking.run_until_complete(handle, timeout=1)
        other.run_until_stalled()

        assert handle.is_pending()
        assert not handle._waiting()
        handle.cancel()


def test_the_value_and_the_error_of_such_a_handle_come(ticking: Executor) -> None:
    """As they would in its own executor."""
    with Executor() as other:
        settled = other.spawn(Future.ready(42))
        other.run()
        assert ticking.run_until_complete(settled) == 42


def test_the_cleaning_up_has_run_when_a_timeout_is_raised(ticking: Executor) -> None:
    """Whoever catches it finds locks released and files closed; other tasks lie still."""
    seen: list[str] = []

    async def child() -> None:
        try:
            await Future.pending()
        finally:
            seen.append("child")

    async def main() -> None:
        try:
            async with TaskGroup() as group:
                group.spawn(child())
                await sleep(60)
        finally:
            await yield_now()
            seen.append("main")

    async def other() -> None:
        await sleep(1)
        seen.append("other")

    stranger = ticking.spawn(other())
    with pytest.raises(TimeoutError):
        ticking.run_until_complete(main(), timeout=1)

    assert [name for name in seen if name != "other"] == ["child", "main"]
    ticking.run_until_complete(stranger)
    assert not ticking.active_tasks()


def test_cleaning_up_that_waits_goes_on_later_and_is_asked_once(ticking: Executor) -> None:
    """A time limit is kept, even where what it ends is not done yet."""
    seen: list[str] = []
    released: Promise[None] = Promise()

    async def main() -> None:
        try:
            await sleep(60)
        finally:
            seen.append("begun")
            await released.future()
            seen.append("ended")

    with pytest.raises(TimeoutError):
        ticking.run_until_complete(main(), timeout=1)
    assert seen == ["begun"]

    released.resolve(None)
    ticking.run()
    assert seen == ["begun", "ended"]


def test_cleaning_up_without_an_end_does_not_keep_the_caller(ticking: Executor) -> None:
    """It gets a number of turns, not any number."""
    leave = False

    async def main() -> None:
        try:
            await sleep(60)
        finally:
            while not leave:
                await yield_now()

    with pytest.raises(TimeoutError):
        ticking.run_until_complete(main(), timeout=1)

    leave = True
    ticking.run()
    assert not ticking.active_tasks()


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("order", ["fifo", 1])
def test_an_executor_is_freed_with_its_last_user(order: Any, *, closed: bool) -> None:
    """Not by the collector some time later."""
    gc.collect()
    gc.disable()
    try:
        executor = Executor(order=order)
        executor.spawn(Future.ready(1))
        executor.run()
        if closed or order != "fifo":  # a seeded one is for tests, which close it
            executor.close()
        there = weakref.ref(executor)
        del executor
        assert there() is None
    finally:
        gc.enable()


SETTLED = Promise.resolved(1).future()


@pytest.mark.parametrize(
    "call",
    [
        lambda executor: executor.run_until_stalled(max_polls=math.nan),
        lambda executor: executor.run_until_stalled(max_polls=1.5),
        lambda executor: executor.run_until_stalled(max_polls=True),
        lambda executor: executor.run(max_iterations=1.5),
        lambda executor: executor.run(max_iterations="1"),
        lambda executor: executor.run(max_iterations=-1),
        lambda _: SETTLED.result(-1),
        lambda _: SETTLED.result(math.nan),
        lambda _: SETTLED.result("x"),
        lambda _: SETTLED.exception(-1),
        lambda executor: executor.spawn(sleep(0)).result(-1),
        lambda executor: executor.spawn(Future),
        lambda executor: Future.all([Future]).poll(),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[Executor], object]) -> None:
    """At the call, and not by what becomes of it later."""
    with Executor() as executor:
        with pytest.raises((TypeError, ValueError)):
            call(executor)
        executor.run()
