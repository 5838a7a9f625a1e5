"""Sleeps and limits that more than one party waits for, each with a loop of its own or none."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, sleep
from runtime.errors import FutureTimeoutError
from runtime.testing import CountingWaker, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def idle(clock: ManualClock) -> Iterator[Executor]:
    """Give an executor that is not driven after its first look."""
    with Executor(clock=clock, block=False) as executor:
        yield executor


async def ended(future: Future[Any]) -> bool:
    """Wait for *future*, whichever its outcome is."""
    try:
        await future
    except FutureTimeoutError:
        return True
    return True


SHARED: list[Callable[[], Future[Any]]] = [
    lambda: sleep(5),
    lambda: Future.timeout(Future.pending(), 5),
    lambda: sleep(5).map(str),
    lambda: Future.all([sleep(5)]),
]


@pytest.mark.parametrize("make", SHARED)
def test_an_executor_that_is_not_driven_keeps_nobody_waiting(
    executor: Executor, idle: Executor, make: Callable[[], Future[Any]]
) -> None:
    """It polled first, so its timer was the only one."""
    future = make()
    handle = idle.spawn(ended(future))
    idle.run_until_stalled()

    assert executor.run_until_complete(ended(future)) is True

    idle.run_until_stalled()
    assert handle.result() is True


@pytest.mark.parametrize("make", SHARED)
def test_a_closed_executor_keeps_nobody_waiting(
    executor: Executor, clock: ManualClock, make: Callable[[], Future[Any]]
) -> None:
    """Its timers end with it, and the deadline stays what it was."""
    future = make()
    first = Executor(clock=clock)
    cancelled = first.spawn(ended(future))
    first.run_until_stalled()
    handle = executor.spawn(ended(future))
    executor.run_until_stalled()
    cancelled.cancel()
    first.run_until_stalled()
    first.close()

    executor.run()

    assert handle.result() is True
    assert clock.now() == 5


@pytest.mark.parametrize("make", SHARED[:2])
def test_a_closed_executor_leaves_the_deadline_to_a_queue(
    clock: ManualClock, make: Callable[[], Future[Any]]
) -> None:
    """Somebody waits who drives no loop: a callback, or a waker of the user's."""
    future = make()
    waker = CountingWaker()

    async def look() -> None:
        future.poll(waker)

    with Executor(clock=clock) as first:
        first.run_until_complete(look())
    clock.advance(4)
    assert waker.count == 0
    clock.advance(1)

    assert waker.count == 1


def test_a_closed_executor_leaves_nothing_of_what_nobody_waits_for(clock: ManualClock) -> None:
    """No queue is made, and with it no thread."""
    future = sleep(5)

    async def look() -> None:
        future.poll()

    with Executor(clock=clock) as first:
        first.run_until_complete(look())

    assert future._queue is None


def test_a_plain_thread_waits_on_the_clock_that_the_deadline_is_on(
    idle: Executor, clock: ManualClock
) -> None:
    """Nobody drives the executor whose clock that is; who moves the clock settles."""
    future = sleep(5)
    _handle = idle.spawn(ended(future))
    idle.run_until_stalled()
    started, results = threading.Event(), list[None]()
    future.add_done_callback(lambda _: results.append(None))

    def wait() -> None:
        future.poll()  # a look from outside has a queue watch
        started.set()
        results.append(future.result(10))

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(10)
    clock.advance(5)
    thread.join(10)

    assert results == [None, None]


def test_an_executor_on_another_clock_waits_for_the_same_moment(
    executor: Executor, clock: ManualClock
) -> None:
    """The deadline is on the clock of whoever asked first."""
    future = sleep(5)
    waker = CountingWaker()
    other = ManualClock(100)

    async def look() -> bool:
        return future.poll(waker).is_ready()

    assert executor.run_until_complete(look()) is False
    with Executor(clock=other) as second:
        assert second.run_until_complete(look()) is False
        other.advance(50)
        assert second.run_until_complete(look()) is False
        clock.advance(5)

        assert waker.count == 1
        assert second.run_until_complete(look()) is True


def test_a_queue_that_is_not_needed_any_more_leaves_the_clock(clock: ManualClock) -> None:
    """A clock that lives long must not collect listeners."""
    futures = [sleep(5)]

    async def look() -> None:
        futures[0].poll()

    with Executor(clock=clock) as first:
        first.run_until_complete(look())
    before = len(clock._listeners)
    futures[0].poll()
    assert len(clock._listeners) == before + 1
    assert futures[0]._queue is not None
    reference = weakref.ref(futures[0]._queue)
    futures.clear()
    gc.collect()

    assert reference() is None
    assert len(clock._listeners) == before
