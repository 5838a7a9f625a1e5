"""Tasks that live no longer than a block."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; called within
# its own round; the block is what raises:
# ruff: noqa: ANN401, ARG001, B023, PT012

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Promise,
    TaskGroup,
    shield,
    sleep,
    timeout,
    yield_now,
)
from runtime.errors import (
    AwaitCycleError,
    CancelRequestedError,
    InvalidStateError,
    TaskCancelledError,
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


def test_spawn_outside_of_the_block_is_refused(executor: Executor) -> None:
    """Before, and after; a coroutine given is closed."""

    async def never() -> None:
        pytest.fail("ran")

    async def main() -> None:
        group = TaskGroup()
        with pytest.raises(InvalidStateError, match="outside of its block"):
            group.spawn(never())
        async with group:
            pass
        with pytest.raises(InvalidStateError, match="outside of its block"):
            group.spawn(Promise[int]().future())
        with pytest.raises(InvalidStateError, match="used once"):
            await group.__aenter__()

    executor.run_until_complete(main())


def test_a_child_that_awaits_the_parent_is_an_error_not_a_deadlock(executor: Executor) -> None:
    """The parent waits for the child: neither would ever go on."""
    for parent_first in (True, False):

        async def child(parent: Any, wait: bool = parent_first) -> None:
            if wait:
                await yield_now()
                await yield_now()
            await parent

        async def main(child: Any = child) -> None:
            async with TaskGroup() as group:
                group.spawn(child(handle))
                if not parent_first:
                    await yield_now()

        handle = executor.spawn(main())
        executor.run()
        error = handle.error()
        assert isinstance(error, ExceptionGroup)
        assert errors_of(error) == [AwaitCycleError]


def test_an_interrupt_in_the_block_passes_as_it_is(executor: Executor) -> None:
    """The children are stopped first; the failures they have are not what matters now."""
    stopped: list[str] = []

    async def child() -> None:
        try:
            await sleep(100)
        finally:
            stopped.append("child")

    async def main() -> None:
        async with TaskGroup() as group:
            group.spawn(child())
            await yield_now()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor.run_until_complete(main())
    assert stopped == ["child"]


def test_closing_the_executor_ends_a_waiting_group(caplog: pytest.LogCaptureFixture) -> None:
    """A closed coroutine cannot wait any more."""
    executor = Executor()
    stopped: list[str] = []

    async def child() -> None:
        try:
            await Future.pending()
        finally:
            stopped.append("child")

    async def main(*, wait: bool) -> None:
        async with TaskGroup() as group:
            group.spawn(child())
            if wait:
                await Future.pending()

    handles = [executor.spawn(main(wait=wait)) for wait in (True, False)]
    executor.run_until_stalled()
    executor.close()

    assert stopped == ["child", "child"]
    assert all(handle.is_cancelled() for handle in handles)
    assert "closed with 4 task(s) pending" in caplog.text


def test_a_group_that_swallows_nothing_foreign(executor: Executor) -> None:
    """A request whose reason is another scope goes on to that scope."""

    async def main() -> None:
        async with TaskGroup():
            raise CancelRequestedError("by hand", reason="somebody")

    with pytest.raises(CancelRequestedError):
        executor.run_until_complete(main())


def test_the_result_of_a_stopped_child_is_a_cancellation(executor: Executor) -> None:
    """Whoever reads it is told."""
    children: list[Any] = []

    async def main() -> None:
        async with TaskGroup() as group:
            children.append(group.spawn(sleep(100)))
            await yield_now()
            raise KeyError

    with pytest.raises(ExceptionGroup):
        executor.run_until_complete(main())
    with pytest.raises(TaskCancelledError):
        children[0].result()
