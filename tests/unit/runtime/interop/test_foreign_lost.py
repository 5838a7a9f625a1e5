"""Work whose loop is closed before it has ended, and what is no work at all."""

# What is refused gives no future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Promise
from runtime.errors import BrokenPromiseError, CancellationError
from runtime.interop.foreign import from_asyncio, from_concurrent, from_trio

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


async def theirs() -> int:
    """Work that ends at once."""
    return 1


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Let *loop* go round once."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_loop_that_is_closed_before_the_work_began(loop: asyncio.AbstractEventLoop) -> None:
    """Those who wait are told at once, and the coroutine is closed without a warning."""
    work = theirs()
    future = from_asyncio(work, loop=loop)

    loop.close()

    with pytest.raises(BrokenPromiseError, match="the loop of 'theirs' was closed"):
        future.result(GUARD)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


@pytest.mark.parametrize("turns", [1, 2], ids=["before its first step", "while it waits"])
def test_a_loop_that_is_closed_while_the_work_runs(
    loop: asyncio.AbstractEventLoop, turns: int
) -> None:
    """The work can clean up without waiting; asyncio itself logs that it lost a task."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(GUARD)
        finally:
            ended.append("cleaned up")

    future = from_asyncio(wait(), loop=loop)  # only the loop has the coroutine
    for _ in range(turns):
        turn(loop)

    loop.close()
    gc.collect()

    with pytest.raises(BrokenPromiseError, match="keep the loop running"):
        future.result(GUARD)
    assert ended == ["cleaned up"][: turns - 1]


@pytest.mark.parametrize("turns", [0, 1], ids=["before it was followed", "while it was"])
def test_a_future_of_asyncio_whose_loop_is_closed(
    loop: asyncio.AbstractEventLoop, turns: int
) -> None:
    """As the work itself; asyncio's future is open for ever."""
    future = from_asyncio(loop.create_future(), loop=loop)
    for _ in range(turns):
        turn(loop)

    loop.close()
    gc.collect()

    with pytest.raises(BrokenPromiseError):
        future.result(GUARD)


def test_a_loop_that_is_closed_already_is_told_at_the_call(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """And nothing is reported later, for the caller knows."""
    work = theirs()
    open_for_ever = loop.create_future()
    loop.close()

    with pytest.raises(RuntimeError, match="closed"):
        from_asyncio(work, loop=loop)
    with pytest.raises(RuntimeError, match="closed"):
        from_asyncio(open_for_ever)

    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


def test_work_that_was_cancelled_stays_cancelled_when_the_loop_is_closed(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """The first outcome stands."""
    future = from_asyncio(theirs(), loop=loop)
    assert future.cancel()

    loop.close()

    with pytest.raises(CancellationError):
        future.result(GUARD)


def test_work_goes_on_while_nobody_but_the_loop_has_it(loop: asyncio.AbstractEventLoop) -> None:
    """What waits is kept by what will wake it."""

    async def wait() -> int:
        await asyncio.sleep(0.001)
        return await promise.future()

    promise: Promise[int] = Promise()
    future = from_asyncio(wait(), loop=loop)
    turn(loop)
    gc.collect()
    promise.resolve(7)

    async def main() -> int:
        return await future

    assert loop.run_until_complete(main()) == 7


@pytest.mark.parametrize("value", [3, None, theirs, concurrent.futures.Future], ids=repr)
def test_what_is_no_future_of_an_executor_is_refused(value: Any) -> None:
    """Before anything is made of it."""
    if isinstance(value, type):
        value = object()

    with pytest.raises(TypeError, match=r"from_concurrent\(\) needs a concurrent.futures.Future"):
        from_concurrent(value)


def test_a_coroutine_is_no_function_for_trio() -> None:
    """It is closed: nobody is warned that it was never awaited."""
    work: Any = theirs()  # Any: what it wants is a function

    with pytest.raises(TypeError, match="give it the function and its arguments"):
        from_trio(work)

    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
