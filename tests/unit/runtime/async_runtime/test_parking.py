"""Putting a thread to sleep and waking it: one step at a time."""

from __future__ import annotations

import threading

from runtime.async_runtime.parking import Parker
from runtime.testing import race


def test_a_signal_before_the_sleep_is_remembered() -> None:
    """An early unpark is not lost."""
    parker = Parker()
    parker.arm()
    parker.signal()

    assert parker.park(None) is True


def test_a_sleep_ends_with_its_time() -> None:
    """And does not sleep at all for a time that is over."""
    parker = Parker()
    parker.arm()
    assert parker.park(0.001) is False
    parker.arm()
    assert parker.park(0) is False
    parker.arm()
    assert parker.park(-1) is False
    assert not parker.armed


def test_one_signal_for_each_arming() -> None:
    """Of many wakers that come at once, one rings."""
    rung: list[int] = []
    parker = Parker(lambda: rung.append(1))
    parker.signal()
    assert not rung

    for _ in range(20):
        rung.clear()
        parker.arm()
        race(parker.signal, parker.signal, parker.signal)
        assert rung == [1]
        assert not parker.armed


def test_a_signal_from_another_thread_wakes_the_sleeper() -> None:
    """However long it wanted to sleep."""
    parker = Parker()
    parker.arm()
    asleep = threading.Event()

    def sleep() -> bool:
        asleep.set()
        return parker.park(threading.TIMEOUT_MAX * 2)

    def wake() -> bool:
        assert asleep.wait(10)
        parker.signal()
        return True

    assert race(sleep, wake) == [True, True]


def test_a_late_signal_after_the_close_is_harmless() -> None:
    """The waker looked at `armed` before."""
    parker = Parker(lambda: None)
    number = parker.fileno()
    assert number >= 0
    parker.arm()
    parker.close()
    parker.close()

    parker.signal()
    parker.mark_readable()

    assert not parker.has_host


def test_the_descriptor_survives_being_written_and_read_twice() -> None:
    """Neither blocks."""
    parker = Parker()
    parker.mark_readable()
    parker.clear()
    parker.fileno()
    for _ in range(2):
        parker.mark_readable()
        parker.mark_readable()
        parker.clear()
        parker.clear()
    parker.close()
