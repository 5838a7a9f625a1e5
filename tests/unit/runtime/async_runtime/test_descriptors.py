"""Waiting for descriptors: readiness, cancelling, closing, and the loop's other business."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Promise,
    TaskState,
    notify_closing,
    sleep,
    timeout,
    wait_readable,
    wait_writable,
    yield_now,
)
from runtime.errors import (
    CancellationError,
    DescriptorClosedError,
    ExecutorClosedError,
    InvalidStateError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches

SELECTORS = [
    getattr(selectors, name)
    for name in ("DefaultSelector", "PollSelector", "SelectSelector")
    if hasattr(selectors, name)
]


@pytest.fixture(params=SELECTORS, ids=lambda kind: kind.__name__)
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """Drive by real time, on each kind of selector that a system may have."""
    monkeypatch.setattr(selectors, "DefaultSelector", request.param)
    with Executor() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


Pair = tuple[socket.socket, socket.socket]


def test_a_task_waits_until_something_can_be_read(executor: Executor, pair: Pair) -> None:
    """The loop sleeps in the selector meanwhile, and timers still wake it."""
    mine, theirs = pair

    async def send() -> None:
        await sleep(0.001)
        theirs.send(b"x")

    async def main() -> bytes:
        executor.spawn(send())
        await wait_readable(mine)
        return mine.recv(9)

    assert executor.run_until_complete(main(), GUARD) == b"x"
    assert not executor.watches_descriptors


def test_a_task_waits_until_something_can_be_written(executor: Executor, pair: Pair) -> None:
    """At once where there is room; a number does as well as an object."""
    mine, theirs = pair

    async def fill() -> None:
        await wait_writable(mine.fileno())
        try:
            while True:
                mine.send(b"x" * 65536)
        except BlockingIOError:
            pass

    async def main() -> None:
        await fill()
        waiting = executor.spawn(wait_writable(mine))
        await yield_now()
        assert waiting.state is TaskState.PENDING
        try:
            while theirs.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        await waiting

    executor.run_until_complete(main(), GUARD)


def test_two_tasks_wait_for_one_descriptor_and_both_are_woken(
    executor: Executor, pair: Pair
) -> None:
    """Who comes first reads; the other one looks, and waits again."""
    mine, theirs = pair

    async def main() -> None:
        waits = [executor.spawn(wait_readable(mine)) for _ in range(2)]
        await yield_now()
        theirs.send(b"x")
        for wait in waits:
            await wait

    executor.run_until_complete(main(), GUARD)


def test_reading_and_writing_are_waited_for_apart(executor: Executor, pair: Pair) -> None:
    """One is ready, the other one is still watched."""
    mine, theirs = pair

    async def main() -> None:
        reader = executor.spawn(wait_readable(mine))
        await yield_now()
        await wait_writable(mine)
        assert reader.state is TaskState.PENDING
        theirs.send(b"x")
        await reader

    executor.run_until_complete(main(), GUARD)


def test_cancelling_one_of_two_leaves_the_other_waiting(executor: Executor, pair: Pair) -> None:
    """And cancelling both leaves nothing to watch."""
    mine, theirs = pair

    async def main() -> None:
        one, two, three = (executor.spawn(wait_readable(mine)) for _ in range(3))
        await yield_now()
        one.cancel()
        theirs.send(b"x")
        await two
        mine.recv(9)
        await three
        four = executor.spawn(wait_readable(mine))
        await yield_now()
        four.cancel()
        assert not executor.watches_descriptors

    executor.run_until_complete(main(), GUARD)


def test_a_time_limit_ends_the_wait(executor: Executor, pair: Pair) -> None:
    """As for everything that can be awaited."""

    async def main() -> None:
        async with timeout(0.001):
            await wait_readable(pair[0])

    with pytest.raises(TimeoutError):
        executor.run_until_complete(main(), GUARD)
    assert not executor.watches_descriptors


def test_cancelled_by_another_thread_while_in_the_selector(executor: Executor, pair: Pair) -> None:
    """The future is over at once; the loop's own thread takes it out of the selector."""
    wait = wait_readable(pair[0])

    async def main() -> None:
        timer = threading.Timer(0.01, wait.cancel)
        timer.start()
        with pytest.raises(CancellationError):
            await wait
        timer.join(GUARD)  # it tells us first, then the loop
        await yield_now()
        other = executor.spawn(wait_readable(pair[0]))  # sweeps
        await yield_now()
        other.cancel()
        assert not executor.watches_descriptors

    executor.run_until_complete(main(), GUARD)


def test_a_wake_from_another_thread_ends_the_sleep_in_the_selector(
    executor: Executor, pair: Pair
) -> None:
    """Many times in a row: no wake-up is lost, whichever comes first."""

    async def main() -> None:
        waiting = executor.spawn(wait_readable(pair[0]))
        for _ in range(200):
            promise: Promise[None] = Promise()
            threading.Thread(target=promise.resolve, args=(None,)).start()
            await promise.future()
        waiting.cancel()

    executor.run_until_complete(main(), GUARD)


def test_a_task_that_is_always_ready_does_not_starve_descriptors(
    executor: Executor, pair: Pair
) -> None:
    """The loop never sleeps then, and still looks."""
    mine, theirs = pair

    async def main() -> None:
        waiting = executor.spawn(wait_readable(mine))
        await yield_now()
        theirs.send(b"x")
        while waiting.state is not TaskState.COMPLETED:
            await yield_now()

    executor.run_until_complete(main(), GUARD)


def test_one_that_is_announced_to_be_closed_fails_its_waiters(
    executor: Executor, pair: Pair
) -> None:
    """Readers and writers, who would never hear of it."""
    mine = pair[0]

    async def main() -> None:
        waits = [executor.spawn(wait_readable(mine)) for _ in range(2)]
        await yield_now()
        notify_closing(mine)
        mine.close()
        for wait in waits:
            with pytest.raises(DescriptorClosedError, match="was closed while"):
                await wait
        assert not executor.watches_descriptors

    executor.run_until_complete(main(), GUARD)


def test_a_number_that_is_given_to_another_file_is_watched_anew(
    executor: Executor, pair: Pair
) -> None:
    """The system forgot the first one when it was closed; nobody announced that."""
    mine = pair[0]

    async def main() -> None:
        before = executor.spawn(wait_readable(mine))
        await yield_now()
        number = mine.fileno()
        mine.close()
        fresh, peer = socket.socketpair()
        with fresh, peer:
            assert fresh.fileno() == number  # the lowest that is free
            after = executor.spawn(wait_readable(number))
            await yield_now()
            peer.send(b"x")
            await after
            await before  # a hint that came too often: it looks and sees

    executor.run_until_complete(main(), GUARD)


def test_one_that_is_closed_under_select_fails_its_waiters(
    monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    """There the system does say it, to all that are watched: only the right ones are told."""
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    mine, theirs = pair
    number = os.dup(mine.fileno())

    async def main() -> None:
        good = own.spawn(wait_readable(mine))
        bad = own.spawn(wait_readable(number))
        await yield_now()
        os.close(number)
        with pytest.raises(DescriptorClosedError):
            await bad
        theirs.send(b"x")
        await good

    with Executor() as own:
        own.run_until_complete(main(), GUARD)


def test_it_has_to_be_awaited_in_an_executor() -> None:
    """Nobody else would watch; the message says so."""
    with pytest.raises(InvalidStateError, match="awaited in a task of an executor"):
        wait_readable(0).result()
    with pytest.raises(InvalidStateError, match="runs on this thread"):
        notify_closing(0)


def test_executors_in_two_threads_may_wait_for_one_future(executor: Executor, pair: Pair) -> None:
    """Each of them watches; who sees it first wakes both."""
    mine, theirs = pair
    wait = wait_readable(mine)
    with Executor() as other:
        handle = other.spawn(wait)
        thread = threading.Thread(target=other.run)

        async def main() -> None:
            thread.start()
            while not other.watches_descriptors:
                await sleep(0.001)
            theirs.send(b"x")
            await wait

        executor.run_until_complete(main(), GUARD)
        thread.join(GUARD)

        assert handle.state is TaskState.COMPLETED


def test_a_join_forgets_the_descriptor_that_lost(executor: Executor, pair: Pair) -> None:
    """What a race leaves behind is not watched."""
    mine = pair[0]
    late = wait_readable(mine)

    async def main() -> None:
        await Future.timeout(late, 0.001)

    with pytest.raises(TimeoutError):
        executor.run_until_complete(main(), GUARD)
    assert late.cancelled()
    assert not executor.watches_descriptors


def test_closing_the_executor_tells_who_waits(pair: Pair) -> None:
    """Its tasks end as cancelled; who else waits for the future gets an error."""
    wait = wait_readable(pair[0])
    other = wait_readable(pair[1])

    async def late() -> None:
        try:
            await wait
        finally:
            with pytest.raises(ExecutorClosedError):
                await other

    executor = Executor()
    task = executor.spawn(late())
    executor.run_until_stalled()
    told: list[BaseException | None] = []
    wait.add_done_callback(lambda future: told.append(future.exception()))

    executor.close()

    assert task.state is TaskState.CANCELLED
    assert [type(error) for error in told] == [DescriptorClosedError]
