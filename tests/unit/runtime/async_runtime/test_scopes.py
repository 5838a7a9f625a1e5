"""timeout and shield: limits inside a task, and what they do to each other."""

# The block is what raises; the error is looked at where it passes:
# ruff: noqa: PT012, PT017

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor, Future, shield, sleep, timeout, yield_now
from runtime.errors import (
    CancelRequestedError,
    FutureTimeoutError,
    InvalidStateError,
    WrongThreadError,
)

if TYPE_CHECKING:
    from runtime.testing import ManualClock


def test_a_block_in_time_is_left_alone(executor: Executor, clock: ManualClock) -> None:
    """And the timer is taken back."""

    async def main() -> str:
        async with timeout(5) as limit:
            await sleep(1)
            assert limit.deadline() == 5
        assert not limit.expired
        await sleep(100)
        return "done"

    assert executor.run_until_complete(main()) == "done"
    assert clock.now() == 101


def test_a_block_that_takes_too_long_raises_timeout_error(
    executor: Executor, clock: ManualClock
) -> None:
    """Its finally blocks run; it may be caught like any error."""
    cleaned: list[float] = []

    async def main() -> None:
        limit = timeout(2)
        try:
            async with limit:
                try:
                    await sleep(100)
                finally:
                    cleaned.append(clock.now())
        except FutureTimeoutError as error:
            assert "exceeded 2s" in str(error)
            assert isinstance(error.__cause__, CancelRequestedError)
        assert limit.expired

    executor.run_until_complete(main())
    assert cleaned == [2]


def test_nested_limits_the_inner_one_expires(executor: Executor, clock: ManualClock) -> None:
    """The outer block goes on."""

    async def main() -> str:
        async with timeout(10):
            with pytest.raises(TimeoutError):
                async with timeout(1):
                    await sleep(100)
            await sleep(1)
        return "done"

    assert executor.run_until_complete(main()) == "done"
    assert clock.now() == 2


def test_nested_limits_the_outer_one_expires(executor: Executor, clock: ManualClock) -> None:
    """The inner one must not take it for its own."""
    inner: list[type[BaseException]] = []

    async def main() -> None:
        with pytest.raises(FutureTimeoutError, match="exceeded 1s"):
            async with timeout(1):
                try:
                    async with timeout(10):
                        await sleep(100)
                except BaseException as error:
                    inner.append(type(error))
                    raise

    executor.run_until_complete(main())
    assert inner == [CancelRequestedError]
    assert clock.now() == 1


def test_nested_limits_that_expire_together_end_the_outer_block(executor: Executor) -> None:
    """One answer for both, and no request is left in the task."""

    async def main() -> list[str]:
        seen: list[str] = []
        with pytest.raises(TimeoutError):
            async with timeout(1):
                try:
                    async with timeout(1):
                        await sleep(100)
                except TimeoutError:
                    pytest.fail("the outer one was asked first")
        await sleep(100)
        seen.append("went on")
        return seen

    assert executor.run_until_complete(main()) == ["went on"]


def test_an_outer_cancellation_is_told_apart_from_expiry(executor: Executor) -> None:
    """Whichever comes first is what the task sees."""

    async def main() -> None:
        async with timeout(10):
            await sleep(100)

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert handle.is_cancelled()


def test_expiry_and_cancellation_at_once_keep_both(executor: Executor, clock: ManualClock) -> None:
    """The time limit is answered, and the cancellation still comes."""
    seen: list[str] = []

    async def main() -> None:
        try:
            async with timeout(1):
                await sleep(100)
        except TimeoutError:
            seen.append("timeout")
        await yield_now()
        seen.append("went on")

    handle = executor.spawn(main())
    executor.run_until_stalled()
    clock.advance(1)
    executor._tick()
    handle.cancel()
    executor.run()

    assert seen == ["timeout"]
    assert handle.is_cancelled()


def test_a_block_that_ends_before_it_sees_the_expiry_keeps_its_end(
    executor: Executor, clock: ManualClock
) -> None:
    """It was done; nothing is pending in the task afterwards."""

    async def main() -> str:
        async with timeout(1) as limit:
            await Future.ready(None)
            clock.advance(5)
            executor._tick()
        assert limit.expired
        await yield_now()
        return "done"

    assert executor.run_until_complete(main()) == "done"


def test_a_block_that_swallows_the_request_keeps_its_end(executor: Executor) -> None:
    """As with any request to stop."""

    async def main() -> str:
        async with timeout(1) as limit:
            with contextlib.suppress(CancelRequestedError):
                await sleep(100)
        assert limit.expired
        return "done"

    assert executor.run_until_complete(main()) == "done"


def test_an_error_of_the_block_passes(executor: Executor) -> None:
    """Expired or not."""

    async def main(seconds: float) -> None:
        async with timeout(seconds):
            try:
                await sleep(5)
            finally:
                raise KeyError("mine")

    for seconds in (1, 100):
        with pytest.raises(KeyError):
            executor.run_until_complete(main(seconds))


def test_limits_that_mean_none_or_at_once(executor: Executor, clock: ManualClock) -> None:
    """None and infinity never expire, 0 does at the first await that waits."""

    async def main() -> None:
        async with timeout(None) as limit:
            await sleep(5)
            assert limit.deadline() is None
        async with timeout(float("inf")):
            await sleep(5)
        with pytest.raises(TimeoutError):
            async with timeout(0):
                await Future.pending()

    executor.run_until_complete(main())
    assert clock.now() == 10
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            timeout(wrong)


def test_reschedule_counts_anew(executor: Executor, clock: ManualClock) -> None:
    """Later, earlier, or not at all; not outside of the block, nor after the end."""

    async def main() -> None:
        async with timeout(2) as limit:
            limit.reschedule(10)
            await sleep(5)
            limit.reschedule(None)
            await sleep(50)
        with pytest.raises(InvalidStateError, match="outside of its block"):
            limit.reschedule(1)
        with pytest.raises(TimeoutError):
            async with timeout(100) as limit:
                limit.reschedule(1)
                await sleep(50)

    executor.run_until_complete(main())
    assert clock.now() == 56


def test_reschedule_belongs_to_the_thread_of_the_loop(executor: Executor) -> None:
    """Timers have no lock."""
    errors: list[BaseException] = []

    async def main() -> None:
        async with timeout(5) as limit:

            def other() -> None:
                try:
                    limit.reschedule(1)
                except WrongThreadError as error:
                    errors.append(error)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    executor.run_until_complete(main())
    assert len(errors) == 1


def test_a_scope_is_used_once(executor: Executor) -> None:
    """Its state is that of one block."""

    async def main() -> None:
        limit = timeout(5)
        async with limit:
            with pytest.raises(InvalidStateError, match="used once"):
                await limit.__aenter__()
        guard = shield()
        async with guard:
            with pytest.raises(InvalidStateError, match="in use"):
                await guard.__aenter__()

    executor.run_until_complete(main())


def test_a_scope_needs_a_task() -> None:
    """Outside of an executor there is nothing to ask to stop."""
    for scope in (timeout(1), shield()):
        with pytest.raises(InvalidStateError, match="no runtime executor"):
            scope.__aenter__().send(None)


# ---- shield -------------------------------------------------------------------------------


def test_a_shield_holds_a_cancellation_back_until_it_ends(executor: Executor) -> None:
    """Seen at the first await behind it."""
    seen: list[str] = []

    async def main() -> None:
        async with shield():
            await sleep(5)
            seen.append("shielded")
        seen.append("behind")
        await yield_now()
        pytest.fail("went on")

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert seen == ["shielded", "behind"]
    assert handle.is_cancelled()


def test_a_shield_protects_the_cleaning_up(executor: Executor) -> None:
    """The reason why it exists: a second cancel must not cut it off."""
    cleaned: list[int] = []

    async def main() -> None:
        try:
            await Future.pending()
        finally:
            async with shield():
                await sleep(5)
                cleaned.append(1)

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert cleaned == [1]
    assert handle.is_cancelled()


def test_a_limit_outside_of_a_shield_waits_for_its_end(
    executor: Executor, clock: ManualClock
) -> None:
    """It is a request from outside like any other."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with timeout(1):
                async with shield():
                    await sleep(5)
                await sleep(100)

    executor.run_until_complete(main())
    assert clock.now() == 5


def test_a_limit_inside_of_a_shield_works(executor: Executor, clock: ManualClock) -> None:
    """Cleaning up needs a limit of its own, also while a cancellation waits outside."""
    seen: list[str] = []

    async def main() -> None:
        async with shield():
            try:
                async with timeout(2):
                    await sleep(100)
            except TimeoutError:
                seen.append("limit")
            await sleep(1)
            seen.append("rest")
        await yield_now()

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert seen == ["limit", "rest"]
    assert clock.now() == 3
    assert handle.is_cancelled()


def test_nested_shields_open_one_by_one(executor: Executor, clock: ManualClock) -> None:
    """A limit between the two waits for the inner one only."""

    async def main() -> None:
        async with shield():
            with pytest.raises(TimeoutError):
                async with timeout(1):
                    async with shield():
                        await sleep(5)
                    await sleep(100)
            await sleep(1)

    executor.run_until_complete(main())
    assert clock.now() == 6
