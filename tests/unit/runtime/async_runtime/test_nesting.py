"""A run inside a run drives only what it needs; executors inside of executors."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Promise,
    TaskGroup,
    current_executor,
    sleep,
    yield_now,
)
from runtime.errors import AwaitCycleError, InvalidStateError, TaskCancelledError
from runtime.testing import ManualClock


async def note(log: list[str], name: str, turns: int = 3) -> str:
    """Take some turns and say so."""
    for turn in range(turns):
        log.append(f"{name}{turn}")
        await yield_now()
    return name


def test_other_tasks_lie_still_until_it_returns(executor: Executor) -> None:
    """And then go on in their old order."""
    log: list[str] = []

    async def main() -> None:
        log.append(executor.run_until_complete(note(log, "inner")))

    handles: list[Any] = [
        executor.spawn(note(log, "x")),
        executor.spawn(main()),
        executor.spawn(note(log, "y")),
    ]
    executor.run()

    assert log == ["x0", "inner0", "inner1", "inner2", "inner", "y0", "x1", "y1", "x2", "y2"]
    assert all(handle.is_completed() for handle in handles)


def test_what_the_awaited_future_spawns_and_awaits_runs_too(executor: Executor) -> None:
    """Directly, through a join, through a group, through tasks that began before."""
    log: list[str] = []
    outside = executor.spawn(note(log, "outside"))
    earlier = executor.spawn(note(log, "earlier"))
    chained = executor.spawn(Future.all([earlier]).map(lambda names: names[0]))
    grouped: list[Any] = []

    async def group() -> None:
        async with TaskGroup() as children:
            children.spawn(note(log, "child"))

    async def inner() -> list[str]:
        own = executor.spawn(note(log, "own"))
        first = await own
        await grouped[0]
        second = await Future.race([chained, Future.pending()])
        return [first, second]

    async def main() -> list[str]:
        return executor.run_until_complete(inner())

    grouped.append(executor.spawn(group()))
    assert executor.run_until_complete(main()) == ["own", "earlier"]

    assert outside.is_pending()
    executor.run()
    assert log.count("outside2") == 1


def test_what_was_awaited_through_a_join_before_the_nested_run_runs_too(
    executor: Executor,
) -> None:
    """The join is between: it is followed from the ready task up to the one that is driven."""
    log: list[str] = []
    leaf = executor.spawn(note(log, "leaf"))
    middle = executor.spawn(Future.all([leaf.map(str)]).map(lambda names: names[0]))

    async def main() -> str:
        await yield_now()  # by now all of them wait
        return executor.run_until_complete(middle)

    assert executor.run_until_complete(main()) == "leaf"


def test_nested_in_nested(executor: Executor) -> None:
    """Each level has its own."""
    log: list[str] = []

    async def level(depth: int) -> int:
        await yield_now()
        log.append(str(depth))
        return depth if depth == 5 else executor.run_until_complete(level(depth + 1))

    other = executor.spawn(note(log, "other"))
    assert executor.run_until_complete(level(0)) == 5
    assert [entry for entry in log if not entry.startswith("other")] == list("012345")
    executor.run_until_complete(other)


def test_timers_fire_for_members_and_wait_for_others(executor: Executor) -> None:
    """Time passes for all; only members are polled."""
    clock = executor.clock
    log: list[str] = []

    async def sleeper() -> None:
        await sleep(1)
        log.append(f"other at {clock.now()}")

    async def main() -> None:
        await yield_now()
        executor.run_until_complete(sleep(3))
        log.append("main")

    executor.spawn(sleeper())
    executor.run_until_complete(main())
    executor.run()

    assert log == ["main", "other at 3.0"]


def test_a_nested_run_can_time_out_and_be_stopped(executor: Executor) -> None:
    """The outer run goes on."""

    async def stop() -> None:
        executor.stop()
        await yield_now()

    async def main() -> str:
        with pytest.raises(TimeoutError):
            executor.run_until_complete(Future.pending(), timeout=1)
        with pytest.raises(InvalidStateError, match="stop"):
            executor.run_until_complete(stop())
        await yield_now()
        return "done"

    assert executor.run_until_complete(main()) == "done"


def test_driving_oneself_or_who_awaits_us_is_an_error(executor: Executor) -> None:
    """Not a thread that sleeps for ever."""
    handles: list[Any] = []

    async def drive_self() -> None:
        executor.run_until_complete(handles[0])

    async def drive_waiter() -> None:
        await yield_now()
        executor.run_until_complete(handles[1])

    async def waiter() -> None:
        await handles[0]

    async def inner() -> None:
        await handles[0]

    async def drive_inner() -> None:
        executor.run_until_complete(inner())

    for first, second in ((drive_self, None), (drive_waiter, waiter), (drive_inner, None)):
        handles[:] = [executor.spawn(first())]
        if second is not None:
            handles.append(executor.spawn(second()))
        executor.run()
        assert isinstance(handles[0].error(), AwaitCycleError)
        handles.clear()


def test_the_driving_task_is_never_polled_from_below(executor: Executor) -> None:
    """It is in the middle of a poll, whoever wakes or cancels it."""
    handles: list[Any] = []

    async def poke() -> None:
        handles[0].wake()
        handles[0].add_done_callback(lambda _: None)
        await yield_now()
        handles[0].cancel()
        await yield_now()

    async def main() -> None:
        executor.run_until_complete(poke())
        await yield_now()
        pytest.fail("went on")

    handles.append(executor.spawn(main()))
    executor.run()
    assert handles[0].is_cancelled()


def test_a_poll_only_future_that_drives_is_not_ended_from_below(executor: Executor) -> None:
    """The same for a task that is no coroutine."""
    handles: list[Any] = []

    async def cancel() -> None:
        handles[0].cancel()
        assert handles[0].is_pending()

    def func(_value: int) -> int:
        executor.run_until_complete(cancel())
        return 7

    handles.append(executor.spawn(Future.ready(1).map(func)))
    executor.run()

    assert handles[0].result() == 7


def test_a_nested_run_in_a_random_order(clock: ManualClock) -> None:
    """Which member is next is chance; that it is a member is not."""
    log: list[str] = []
    with Executor(clock=clock, order=5) as executor:

        async def main() -> None:
            executor.run_until_complete(note(log, "inner", 5))
            log.append("main")

        handle = executor.spawn(main())
        executor.run_until_stalled(max_polls=0)
        others = [executor.spawn(note(log, "other", 2)) for _ in range(5)]
        executor.run_until_complete(handle)
        start = log.index("inner0")
        assert log[start : start + 6] == [*(f"inner{n}" for n in range(5)), "main"]
        executor.run()
        assert all(other.is_completed() for other in others)


def test_an_executor_inside_another_one(executor: Executor) -> None:
    """Each drives its own; what is current is put back."""

    async def inner(other: Executor) -> str:
        assert current_executor() is other
        await sleep(1)
        return "inner"

    async def main() -> str:
        with Executor(clock=ManualClock(auto_advance=True)) as other:
            result = other.run_until_complete(inner(other))
        assert current_executor() is executor
        await yield_now()
        return result

    assert executor.run_until_complete(main()) == "inner"


def test_two_executors_in_one_thread_take_turns() -> None:
    """And may await each other's tasks as long as both are driven."""
    with Executor() as one, Executor() as two:
        promise: Promise[int] = Promise()
        first = one.spawn(promise.future())
        second = two.spawn(first.map(lambda value: value + 1))
        one.run_until_stalled()
        two.run_until_stalled()
        promise.resolve(1)
        one.run_until_stalled()
        two.run_until_stalled()

        assert second.result() == 2


def test_awaiting_a_task_of_the_executor_that_waits_for_us_is_an_error() -> None:
    """It is further down on this very stack: it cannot go on before we return."""
    with Executor() as outer, Executor() as inner:
        handles: list[Any] = []

        async def wait() -> None:
            await handles[0]

        async def main() -> None:
            inner.run_until_complete(wait())

        handles.append(outer.spawn(main()))
        with pytest.raises(InvalidStateError, match="on this very thread"):
            outer.run_until_complete(handles[0])


def test_a_run_for_a_task_that_is_cancelled_from_inside(executor: Executor) -> None:
    """It ends with the cancellation."""

    async def main() -> None:
        handle = executor.spawn(Future.pending())
        executor.spawn(sleep(1).map(lambda _: handle.cancel()))
        canceller = executor.spawn(sleep(2).map(lambda _: handle.cancel()))
        with pytest.raises(TaskCancelledError):
            executor.run_until_complete(Future.all([handle, canceller]))

    executor.run_until_complete(main())
