"""The contract with a host that drives the loop from its own."""

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
from runtime.errors import ExecutorClosedError, InvalidStateError
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


# ---- budgets ------------------------------------------------------------------------------


def test_run_until_stalled_says_why_it_returned(hosted: Executor) -> None:
    """So that the host knows whether to come back."""
    hosted.spawn(turns(5))

    assert hosted.run_until_stalled(max_polls=2) == "max_polls"
    assert hosted.run_until_stalled(max_polls=0) == "max_polls"
    assert hosted.run_until_stalled(max_time=0) == "max_time"
    assert hosted.run_until_stalled(max_polls=3) == "stalled"
    assert hosted.run_until_stalled(max_polls=0, max_time=0) == "stalled"
    assert hosted.active_tasks() == 0


def test_max_polls_counts_polls_of_tasks_only(hosted: Executor) -> None:
    """Not timers, nor tasks that have ended meanwhile."""
    hosted.spawn(sleep(5))
    ended = hosted.spawn(turns(1))
    hosted.spawn(turns(1))
    ended.cancel()

    assert hosted.run_until_stalled(max_polls=2) == "stalled"
    assert hosted.active_tasks() == 1


def test_max_time_is_measured_on_the_clock() -> None:
    """A poll under way is not interrupted."""
    clock = ManualClock()

    async def work() -> None:
        for _ in range(10):
            clock.advance(1)
            await yield_now()

    with Executor(clock=clock) as executor:
        executor.spawn(work())
        assert executor.run_until_stalled(max_time=3.5) == "max_time"
        assert clock.now() == 4
        assert executor.run_until_stalled(max_time=100) == "stalled"


@pytest.mark.parametrize("wrong", [{"max_polls": -1}, {"max_time": -1}, {"max_time": float("nan")}])
def test_budgets_that_make_no_sense_are_refused(hosted: Executor, wrong: dict[str, Any]) -> None:
    """Before anything is polled."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        hosted.run_until_stalled(**wrong)


def test_timers_that_are_due_run_within_one_call(hosted: Executor) -> None:
    """Stalled means that there is nothing to do now."""
    clock = hosted.clock
    assert isinstance(clock, ManualClock)
    hosted.spawn(sleep(2).then(lambda _: sleep(0)))

    assert hosted.run_until_stalled() == "stalled"
    assert hosted.next_deadline() == 2
    clock.advance(3)
    assert hosted.run_until_stalled() == "stalled"

    assert hosted.active_tasks() == 0
    assert hosted.next_deadline() is None


def test_next_deadline_is_the_earliest_that_counts(hosted: Executor) -> None:
    """Cancelled ones do not."""
    hosted.spawn(sleep(9))
    early = hosted.spawn(sleep(4))
    hosted.run_until_stalled()
    assert hosted.next_deadline() == 4

    early.cancel()

    assert hosted.next_deadline() == 9


def test_step_runs_due_timers_first(hosted: Executor) -> None:
    """A host that only steps gets them too."""
    clock = hosted.clock
    assert isinstance(clock, ManualClock)
    hosted.spawn(sleep(1))
    assert hosted.step() is True
    assert hosted.step() is False

    clock.advance(1)

    assert hosted.step() is True
    assert hosted.active_tasks() == 0


def test_a_failing_task_never_breaks_a_step(hosted: Executor) -> None:
    """The next one has its turn."""
    failing = hosted.spawn(Future.ready(1).map(lambda _: 1 // 0))
    fine = hosted.spawn(turns(1))

    assert hosted.step()
    assert hosted.step()

    assert failing.is_failed()
    assert fine.is_completed()


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


def test_a_task_that_was_woken_after_its_end_makes_nothing_readable() -> None:
    """A step would do nothing."""
    with Executor(block=False) as executor:
        ended = executor.spawn(turns(2))
        assert not readable(executor) or executor.step()
        executor.run_until_stalled()
        ended.wake()
        executor._tell_host(told_ready=False, told_deadline=True)

        assert not readable(executor)


def test_a_descriptor_beside_a_run_that_sleeps() -> None:
    """A run clears up behind itself."""
    with Executor(clock=ManualClock(auto_advance=True)) as executor:
        assert not readable(executor)
        executor.run_until_complete(sleep(5))

        assert not readable(executor)


# ---- a host -------------------------------------------------------------------------------


def test_a_host_that_sleeps_between_steps_loses_nothing() -> None:
    """The whole contract at work: another thread settles, a timer fires, the host sleeps."""
    rung = threading.Event()
    promise: Promise[int] = Promise()

    async def main() -> int:
        await sleep(0.01)
        return await promise.future()

    def host() -> int:
        with Executor(block=False, on_wake=rung.set) as executor:
            handle = executor.spawn(main())
            while True:
                rung.clear()
                if executor.run_until_stalled(max_polls=1) != "stalled":
                    continue
                if not handle.is_pending():
                    return handle.result()
                deadline = executor.next_deadline()
                span = 10.0 if deadline is None else deadline - executor.clock.now()
                rung.wait(max(0.0, span))

    def settle() -> int:
        promise.resolve(5)
        return 0

    assert race(host, settle) == [5, 0]


@pytest.mark.parametrize("call", ["step", "run", "run_until_stalled", "close", "hand_over"])
def test_a_host_does_not_drive_from_inside(hosted: Executor, call: str) -> None:
    """The task that calls it is in the middle of a poll."""

    async def main() -> None:
        with pytest.raises(InvalidStateError, match=r"inside|while it runs"):
            getattr(hosted, call)()

    hosted.run_until_complete(main())
