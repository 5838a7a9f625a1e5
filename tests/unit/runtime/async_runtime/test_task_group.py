"""Tasks that live no longer than a block."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; called within
# its own round; the block is what raises:
# ruff: noqa: ANN401, ARG001, PT012

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    TaskGroup,
    shield,
    sleep,
    timeout,
    yield_now,
)

if TYPE_CHECKING:
    from runtime.testing import ManualClock


async def fail_after(seconds: float, error: BaseException) -> None:
    """Fail."""
    await sleep(seconds)
    raise error


def errors_of(group: BaseExceptionGroup[Any]) -> list[type[BaseException]]:
    """Return the types in *group*."""
    return [type(error) for error in group.exceptions]


def test_children_end_before_the_block_ends(executor: Executor, clock: ManualClock) -> None:
    """Those that children spawn included."""
    done: list[float] = []

    async def child(group: TaskGroup, seconds: float) -> float:
        await sleep(seconds)
        if seconds < 3:
            group.spawn(child(group, seconds + 2))
        done.append(clock.now())
        return seconds

    async def main() -> float:
        async with TaskGroup() as group:
            handle = group.spawn(child(group, 1))
            group.spawn(child(group, 5))
        assert done == [1, 4, 5]
        return handle.result()

    assert executor.run_until_complete(main()) == 1


def test_an_empty_group_ends_at_once(executor: Executor) -> None:
    """Nothing to wait for."""

    async def main() -> str:
        async with TaskGroup():
            pass
        return "done"

    assert executor.run_until_complete(main()) == "done"


def test_the_first_failure_stops_the_others_and_the_block(
    executor: Executor, clock: ManualClock
) -> None:
    """Whichever child it is; the block is asked at its await."""
    stopped: list[str] = []

    async def long(name: str) -> None:
        try:
            await sleep(100)
        finally:
            stopped.append(name)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with TaskGroup() as group:
                group.spawn(long("child"))
                group.spawn(fail_after(1, KeyError("k")))
                await long("block")
        assert errors_of(caught.value) == [KeyError]

    executor.run_until_complete(main())
    assert sorted(stopped) == ["block", "child"]
    assert clock.now() == 1


def test_all_failures_are_kept(executor: Executor) -> None:
    """Of children that fail while they are being stopped, and of the block."""

    async def fail_while_stopping() -> None:
        try:
            await sleep(100)
        finally:
            raise ValueError("while stopping")

    async def main() -> None:
        async with TaskGroup() as group:
            group.spawn(fail_while_stopping())
            await yield_now()
            raise KeyError("block")

    with pytest.raises(ExceptionGroup) as caught:
        executor.run_until_complete(main())
    assert errors_of(caught.value) == [KeyError, ValueError]


def test_a_child_that_was_cancelled_alone_is_no_failure(executor: Executor) -> None:
    """Somebody wanted it so; the others go on."""

    async def main() -> str:
        async with TaskGroup() as group:
            gone = group.spawn(sleep(100))
            rest = group.spawn(sleep(2).map(lambda _: "rest"))
            await yield_now()
            gone.cancel()
        assert gone.is_cancelled()
        return rest.result()

    assert executor.run_until_complete(main()) == "rest"


def test_an_outer_cancellation_stops_the_children_and_goes_on(executor: Executor) -> None:
    """In the block, and while it waits for its children."""
    for in_block in (True, False):
        stopped: list[str] = []

        async def child(stopped: list[str] = stopped) -> None:
            try:
                await sleep(100)
            finally:
                await sleep(1)
                stopped.append("child")

        async def main(in_block: bool = in_block, child: Any = child) -> None:
            async with TaskGroup() as group:
                group.spawn(child())
                if in_block:
                    await sleep(100)

        handle = executor.spawn(main())
        executor.run_until_stalled()
        handle.cancel()
        executor.run()

        assert stopped == ["child"]
        assert handle.is_cancelled()


def test_a_limit_around_a_group_expires_as_a_limit(executor: Executor, clock: ManualClock) -> None:
    """The group hands the request on to whose it is."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with timeout(2), TaskGroup() as group:
                group.spawn(sleep(100))

    executor.run_until_complete(main())
    assert clock.now() == 2


def test_a_failure_and_an_outer_cancellation_are_both_kept(executor: Executor) -> None:
    """The failures are raised, and the request comes again at the next await."""
    seen: list[str] = []

    async def fail_while_stopping() -> None:
        try:
            await sleep(100)
        finally:
            raise ValueError("while stopping")

    async def main() -> None:
        try:
            async with TaskGroup() as group:
                group.spawn(fail_while_stopping())
        except* ValueError:
            seen.append("failures")
        await yield_now()
        seen.append("went on")

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert seen == ["failures"]
    assert handle.is_cancelled()


def test_two_outer_requests_are_both_kept(executor: Executor, clock: ManualClock) -> None:
    """A limit expires and somebody cancels while the children are still ending."""
    seen: list[str] = []

    async def slow_to_stop() -> None:
        try:
            await sleep(100)
        finally:
            async with shield():
                await sleep(10)

    async def main() -> None:
        try:
            async with timeout(1), TaskGroup() as group:
                group.spawn(slow_to_stop())
        except TimeoutError:
            seen.append("timeout")
        await yield_now()
        seen.append("went on")

    handle = executor.spawn(main())

    async def canceller() -> None:
        await sleep(5)
        handle.cancel()

    executor.spawn(canceller())
    executor.run()

    assert seen == ["timeout"]
    assert handle.is_cancelled()


def test_a_group_inside_of_a_shield_still_fails_fast(
    executor: Executor, clock: ManualClock
) -> None:
    """Its own request to the block is not one from outside."""

    async def main() -> None:
        async with shield():
            with pytest.raises(ExceptionGroup):
                async with TaskGroup() as group:
                    group.spawn(fail_after(1, KeyError()))
                    await sleep(100)

    executor.run_until_complete(main())
    assert clock.now() == 1


def test_cancel_ends_the_block_without_an_error(executor: Executor, clock: ManualClock) -> None:
    """From inside the block, and by a child while the block waits."""

    async def main() -> str:
        async with TaskGroup() as group:
            group.spawn(sleep(100))
            group.cancel()
            await sleep(100)
        async with TaskGroup() as second:
            second.spawn(sleep(100))

            async def child() -> None:
                await sleep(1)
                second.cancel()

            second.spawn(child())
        return "done"

    assert executor.run_until_complete(main()) == "done"
    assert clock.now() == 1


def test_a_child_spawned_in_a_group_that_stops_never_starts(executor: Executor) -> None:
    """But is a child like any other."""

    async def never() -> None:
        pytest.fail("ran")

    async def main() -> None:
        async with TaskGroup() as group:
            group.cancel()
            assert group.spawn(never()).is_cancelled()

    executor.run_until_complete(main())
