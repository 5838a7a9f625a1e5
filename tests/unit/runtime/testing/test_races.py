"""Several calls at the same moment."""

from __future__ import annotations

import threading

import pytest

from runtime.testing import race


def test_results_come_in_the_order_of_the_calls() -> None:
    """Whoever was first."""
    assert race(lambda: 1, lambda: 2, lambda: 3) == [1, 2, 3]
    assert race() == []


def test_the_calls_run_side_by_side() -> None:
    """Each waits for the others, which a sequence could not."""
    barrier = threading.Barrier(3)

    assert sorted(race(*[lambda: barrier.wait(10)] * 3)) == [0, 1, 2]


def test_errors_are_gathered() -> None:
    """In order; BaseExceptions included."""

    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(BaseExceptionGroup, match="2 of 3 calls raised") as caught:
        race(lambda: fail(KeyError()), lambda: None, lambda: fail(SystemExit()))

    assert [type(error) for error in caught.value.exceptions] == [KeyError, SystemExit]


def test_a_deadlock_is_named() -> None:
    """The threads are left behind, so the guard should be the last resort."""
    leave = threading.Event()
    try:
        with pytest.raises(TimeoutError, match="race-0 still run"):
            race(lambda: leave.wait(10), timeout=0.01)
    finally:
        leave.set()
