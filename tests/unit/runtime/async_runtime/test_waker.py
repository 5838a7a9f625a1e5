"""How a future asks for one more poll."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import cast

import pytest

from runtime.async_runtime import Executor, Waker, yield_now
from runtime.testing import CountingWaker, race


def test_wake_calls_back_once_until_reset() -> None:
    """Two wakes before a poll are one poll."""
    calls: list[str] = []
    waker = Waker(lambda: calls.append("woken"))

    waker.wake()
    waker.wake_by_ref()
    assert calls == ["woken"]
    assert waker.is_woken()

    waker.reset()
    assert not waker.is_woken()
    waker.wake_by_ref()
    assert calls == ["woken", "woken"]


def test_reset_of_an_armed_waker_changes_nothing() -> None:
    """Resetting twice is harmless."""
    waker = Waker()

    waker.reset()
    waker.reset()

    assert not waker.is_woken()
    assert "armed" in repr(waker)


def test_a_waker_without_callback_only_remembers() -> None:
    """It is what a test looks at."""
    waker = Waker()

    waker.wake()

    assert waker.is_woken()
    assert "woken" in repr(waker)


def test_a_clone_has_the_callback_and_a_flag_of_its_own() -> None:
    """Waking one must not use up the other."""
    calls: list[int] = []
    waker = Waker(lambda: calls.append(1))
    waker.wake()

    clone = waker.clone()
    assert not clone.is_woken()
    clone.wake()

    assert calls == [1, 1]


def test_the_noop_waker_is_never_woken() -> None:
    """It stands for a look that wants no wake-up."""
    noop = Waker.noop()

    noop.wake()

    assert not noop.is_woken()
    assert noop.clone() is noop is Waker.noop()


def test_what_the_callback_raises_reaches_the_caller_of_wake() -> None:
    """Whoever wakes by hand is told; futures report it instead."""
    waker = Waker(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        waker.wake()


def test_two_threads_that_wake_at_once_call_back_once() -> None:
    """The flag is one atomic test-and-set."""
    counting = CountingWaker()
    for _ in range(50):
        waker = Waker(counting.wake)
        race(waker.wake, waker.wake)

    assert counting.count == 50


def test_a_task_is_a_waker() -> None:
    """What futures get in an executor passes for a Waker, with all its methods."""
    with Executor() as executor:
        handle = executor.spawn(yield_now())

        assert isinstance(cast("object", handle), Waker)
        assert handle.is_woken()
        assert handle.clone() is handle
        executor.run()
        handle.reset()
        handle.wake_by_ref()  # after completion: never polled again
        assert executor.step() is False
