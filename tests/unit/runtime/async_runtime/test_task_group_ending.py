"""Task groups that are misused, interrupted, or closed."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; called within
# its own round; the block is what raises:
# ruff: noqa: ANN401, B023

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Promise,
    TaskGroup,
    sleep,
    yield_now,
)
from runtime.errors import (
    AwaitCycleError,
    CancelRequestedError,
    InvalidStateError,
    TaskCancelledError,
)


async def fail_after(seconds: float, error: BaseException) -> None:
    """Fail."""
    await sleep(seconds)
    raise error


def errors_of(group: BaseExceptionGroup[Any]) -> list[type[BaseException]]:
    """Return the types in *group*."""
    return [type(error) for error in group.exceptions]


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


@pytest.mark.parametrize("in_child", [True, False])
def test_what_a_failed_group_held_is_freed_with_its_error(
    executor: Executor, in_child: Any
) -> None:
    """Not by the collector some time later: the group is not a part of its own traceback."""

    class Kept:
        pass

    async def fail(kept: Kept) -> None:
        raise KeyError(id(kept))

    async def main(kept: Kept) -> None:
        async with TaskGroup() as group:
            if in_child:
                group.spawn(fail(kept))
            else:
                await fail(kept)

    kept = Kept()
    there = weakref.ref(kept)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ExceptionGroup) as caught:
            executor.run_until_complete(main(kept))
        del kept, caught
        assert there() is None
    finally:
        gc.enable()
