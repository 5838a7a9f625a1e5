"""map, then, timeout and joins let go of a future that lives longer than the wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise
from runtime.async_runtime.future import MapFuture
from runtime.errors import CancellationError
from runtime.testing import CountingWaker

if TYPE_CHECKING:
    from collections.abc import Callable


SHORT_WAITS: list[Callable[[Future[int]], Future[Any]]] = [
    lambda future: future.map(str),
    lambda future: future.map(str).then(str).catch(str),
    lambda future: Future.race([future.map(str)]),
    lambda future: Future.all([Future.timeout(future.map(str), 100)]),
]


@pytest.mark.parametrize("wrap", SHORT_WAITS)
def test_a_timeout_that_expires_leaves_nothing_in_a_long_lived_source(
    executor: Executor, wrap: Callable[[Future[int]], Future[Any]]
) -> None:
    """Nobody forgets for it: whoever waited has its answer and goes away."""
    promise: Promise[int] = Promise()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            executor.run_until_complete(Future.timeout(wrap(promise.future()), 0))

    assert promise.future()._waiting() == []
    assert not promise.is_completed()


@pytest.mark.parametrize("wrap", SHORT_WAITS)
def test_a_cancelled_task_leaves_nothing_in_a_long_lived_source(
    executor: Executor, wrap: Callable[[Future[int]], Future[Any]]
) -> None:
    """The task that drives the future cancels that; what lies below belongs to others."""
    promise: Promise[int] = Promise()
    handle = executor.spawn(wrap(promise.future()))
    executor.run_until_stalled()
    assert len(promise.future()._waiting()) == 1

    handle.cancel()
    executor.run_until_stalled()

    assert promise.future()._waiting() == []
    assert not promise.is_completed()


def test_a_cancelled_chain_tells_those_who_poll_it_and_calls_nothing() -> None:
    """Whichever link it is; its source goes on for others."""
    promise: Promise[int] = Promise()
    called: list[int] = []
    inner: MapFuture[None] = MapFuture(promise.future(), called.append)
    outer = inner.map(str)
    waker = CountingWaker()
    assert outer.poll(waker).is_pending()

    assert inner.cancel() is True
    assert inner.cancel() is False

    assert waker.count == 1
    with pytest.raises(CancellationError):
        outer.poll(waker)
    promise.resolve(1)
    assert called == []


def test_a_cancelled_chain_cancels_the_coroutine_that_it_waits_for(executor: Executor) -> None:
    """Nobody else can have it."""
    ended: list[str] = []

    async def work(_value: int) -> None:
        try:
            await Future.pending()
        finally:
            ended.append("cleaned up")

    handle = executor.spawn(Future.ready(1).then(work))
    executor.run_until_stalled()
    handle.cancel()
    executor.run_until_stalled()

    assert ended == ["cleaned up"]
    assert executor.active_tasks() == 0
