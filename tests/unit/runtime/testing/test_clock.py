"""The clock that tests move."""

from __future__ import annotations

import math

import pytest

from runtime.async_runtime import Executor, sleep
from runtime.clock import SteppedClock
from runtime.testing import ManualClock, race


def test_it_stands_still_until_moved() -> None:
    """And never goes back."""
    clock = ManualClock(5)
    assert isinstance(clock, SteppedClock)
    clock.advance(2)
    assert clock.now() == 7
    clock.advance_to(6)
    assert clock.now() == 7
    clock.advance_to(9)
    assert clock.now() == 9
    assert repr(clock) == "<ManualClock at 9s>"


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_moves_that_make_no_sense_are_refused(seconds: float) -> None:
    """Before anybody is told."""
    clock = ManualClock()
    clock.on_advance(lambda: pytest.fail("told"))
    with pytest.raises(ValueError, match="clock moves"):
        clock.advance(seconds)
    if not math.isfinite(seconds):
        with pytest.raises(ValueError, match="clock moves"):
            clock.advance_to(seconds)


def test_listeners_are_told_after_each_move_until_they_leave() -> None:
    """Leaving twice is fine; a listener may move the clock's listeners itself."""
    clock = ManualClock()
    seen: list[float] = []
    forget = clock.on_advance(lambda: seen.append(clock.now()))
    clock.advance(1)
    forget()
    forget()
    clock.advance(1)

    assert seen == [1]


def test_idle_moves_only_where_asked_for() -> None:
    """By default the test is the only one who moves time."""
    clock = ManualClock()
    assert clock.idle(5) is False
    assert clock.now() == 0
    clock.auto_advance = True
    assert clock.idle(5) is True
    assert clock.now() == 5


def test_an_executor_sleeps_until_somebody_moves_the_clock() -> None:
    """Without auto_advance it waits for another thread."""
    clock = ManualClock()

    def drive() -> float:
        with Executor(clock=clock) as executor:
            return executor.run_until_complete(sleep(5).map(lambda _: clock.now()))

    def move() -> float:
        while clock.now() < 5:
            clock.advance(1)
        while not done:
            clock.advance(1)
        return 0

    done: list[int] = []

    def drive_then_tell() -> float:
        try:
            return drive()
        finally:
            done.append(1)

    assert race(drive_then_tell, move)[0] >= 5
