"""How a host is told that there is something to do: on_wake and fileno."""

# Known methods:
# ruff: noqa: D102

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, sleep, timeout, yield_now
from runtime.async_runtime.parking import _SocketPair
from runtime.errors import ExecutorClosedError
from runtime.testing import ManualClock, race

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[str] = set()

    def __call__(self) -> None:
        self.count += 1
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def hosted(bell: Bell) -> Iterator[Executor]:
    """An executor that a host steps, on a clock that stands still."""
    with Executor(clock=ManualClock(), block=False, on_wake=bell) as made:
        yield made


def readable(executor: Executor) -> bool:
    """Return whether a host's selector would see the descriptor."""
    return bool(select.select([executor.fileno()], [], [], 0)[0])


async def turns(count: int) -> None:
    """Take *count* turns."""
    for _ in range(count - 1):
        await yield_now()


# ---- on_wake ------------------------------------------------------------------------------


def test_the_bell_rings_once_when_something_becomes_ready(hosted: Executor, bell: Bell) -> None:
    """However much becomes ready before the host comes."""
    hosted.spawn(turns(1))
    hosted.spawn(turns(1))
    assert bell.count == 1

    hosted.run_until_stalled()
    hosted.spawn(turns(1))
    hosted.spawn(turns(1))

    assert bell.count == 2


def test_the_bell_is_silent_during_a_run(hosted: Executor, bell: Bell) -> None:
    """The host is there already, and learns from the return what is left."""

    async def spawning() -> None:
        hosted.spawn(turns(3))
        await yield_now()

    hosted.spawn(spawning())
    assert hosted.step() is True
    assert hosted.run_until_stalled(max_polls=1) == "max_polls"
    assert hosted.run_until_stalled() == "stalled"

    assert bell.count == 1


def test_the_bell_rings_from_another_thread(hosted: Executor, bell: Bell) -> None:
    """Once for several promises."""
    promises: list[Promise[int]] = [Promise() for _ in range(3)]
    for promise in promises:
        hosted.spawn(promise.future())
    hosted.run_until_stalled()
    before = bell.count

    def settle() -> None:
        for promise in promises:
            promise.resolve(1)

    thread = threading.Thread(target=settle, name="settler")
    thread.start()
    thread.join()

    assert bell.count == before + 1
    assert "settler" in bell.threads


def test_wakers_that_come_at_once_ring_the_bell_once() -> None:
    """The one that takes the claim rings."""
    for _ in range(30):
        bell = Bell()
        with Executor(on_wake=bell, block=False) as executor:
            promises: list[Promise[int]] = [Promise() for _ in range(3)]
            for promise in promises:
                executor.spawn(promise.future())
            executor.run_until_stalled()
            bell.count = 0
            race(*(lambda promise=promise: promise.resolve(1) for promise in promises))
            assert bell.count == 1


def test_the_bell_rings_when_the_deadline_moves_earlier_outside_of_a_step(
    hosted: Executor, bell: Bell
) -> None:
    """The host sleeps until the old one; a later deadline is no reason to wake it."""
    limits: list[Any] = []

    async def main() -> None:
        async with timeout(50) as limit:
            limits.append(limit)
            await Future.pending()

    hosted.spawn(main())
    hosted.run_until_stalled()
    assert hosted.next_deadline() == 50
    before = bell.count

    limits[0].reschedule(70)
    assert bell.count == before
    limits[0].reschedule(10)

    assert bell.count == before + 1
    assert hosted.next_deadline() == 10


def test_the_bell_rings_after_a_run_that_the_host_did_not_ask_for(bell: Bell) -> None:
    """What it leaves behind, ready tasks or an earlier deadline, nobody else would tell."""
    with Executor(clock=ManualClock(), on_wake=bell) as executor:
        executor.spawn(sleep(50))
        executor.run_until_stalled()
        before = bell.count

        executor.run_until_complete(turns(2))
        assert bell.count == before + 1  # for the spawn, before the run

        executor.spawn(turns(9))
        executor.run_until_complete(turns(2))
        assert executor.has_ready
        assert bell.count == before + 3

        executor.run_until_stalled()
        executor.spawn(sleep(5))
        executor.run_until_complete(turns(3))
        assert bell.count == before + 5


def test_a_bell_that_raises_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The waker is not to blame."""

    def broken() -> None:
        raise KeyError("bell")

    with Executor(on_wake=broken, block=False) as executor:
        executor.spawn(turns(1))
        executor.run_until_stalled()
    assert "on_wake" in caplog.text


def test_a_clock_that_reaches_a_deadline_rings_the_bell(hosted: Executor, bell: Bell) -> None:
    """Not one that moves for nothing."""
    clock = hosted.clock
    assert isinstance(clock, ManualClock)
    hosted.spawn(sleep(5))
    hosted.run_until_stalled()
    before = bell.count

    clock.advance(1)
    assert bell.count == before
    clock.advance(4)
    assert bell.count == before + 1


# ---- fileno -------------------------------------------------------------------------------


def check_descriptor(executor: Executor) -> None:
    """Walk through the moments at which it must be readable, and those at which not."""
    promise: Promise[int] = Promise()
    assert not readable(executor)
    executor.spawn(promise.future())
    executor.spawn(turns(2))
    assert readable(executor)
    executor.step()
    assert readable(executor)
    executor.run_until_stalled(max_polls=1)
    assert readable(executor)
    executor.run_until_stalled()
    assert not executor.has_ready
    assert not readable(executor)

    race(lambda: promise.resolve(1))
    assert readable(executor)
    assert executor.step()
    assert not readable(executor)
    assert executor.step() is False


def test_the_descriptor_is_readable_exactly_when_a_step_would_poll() -> None:
    """A host's selector needs neither more nor less."""
    with Executor(block=False) as executor:
        check_descriptor(executor)


def test_a_pair_of_sockets_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no eventfd."""
    monkeypatch.delattr(os, "eventfd", raising=False)
    with Executor(block=False) as executor:
        check_descriptor(executor)
        assert isinstance(executor._parker._pipe, _SocketPair)
        for _ in range(100_000):  # a full buffer is readable, and does not block
            executor._parker._pipe.write()
        assert select.select([executor._parker._pipe.fileno()], [], [], 0)[0]


def test_the_descriptor_is_made_on_first_use_and_closed_with_the_executor() -> None:
    """It shows what was ready before it was asked for."""
    executor = Executor(block=False)
    executor.spawn(turns(1))
    number = executor.fileno()
    assert executor.fileno() == number
    assert readable(executor)
    os.fstat(number)

    executor.run_until_stalled()
    executor.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    with pytest.raises(ExecutorClosedError):
        executor.fileno()


def test_a_task_that_was_woken_after_its_end_rings_nothing() -> None:
    """A step would do nothing, so nobody is told to take one."""
    rings: list[None] = []
    with Executor(block=False, on_wake=lambda: rings.append(None)) as executor:
        ended = executor.spawn(turns(2))
        assert not readable(executor) or executor.step()
        executor.run_until_stalled()
        rings.clear()

        ended.wake()

        assert not executor.has_ready
        assert not rings
        assert not readable(executor)


def test_a_descriptor_beside_a_run_that_sleeps() -> None:
    """A run clears up behind itself."""
    with Executor(clock=ManualClock(auto_advance=True)) as executor:
        assert not readable(executor)
        executor.run_until_complete(sleep(5))

        assert not readable(executor)
