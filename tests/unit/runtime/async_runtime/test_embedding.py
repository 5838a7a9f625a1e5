"""The contract with a host that drives the loop from its own."""

# Known methods:
# ruff: noqa: D102

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, sleep, yield_now
from runtime.errors import InvalidStateError
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
