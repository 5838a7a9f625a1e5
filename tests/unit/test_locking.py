"""The pool's lock, and the exceptions that signal handlers raise around it."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.locking import locked, taking

if TYPE_CHECKING:
    from runtime.backends.base import PoolLock


class _Counter:
    def __init__(self) -> None:
        self.lock: PoolLock = threading.RLock()
        self.taking = taking(self.lock)
        self.count = 0

    @locked
    def add(self, number: int, *, twice: bool = False) -> int:
        """Add *number*."""
        self.count += number
        return self.add(number) if twice else self.count

    @locked
    def fail(self) -> None:
        raise ValueError("inside")


def _is_free(lock: object) -> bool:
    """Ask from another thread: the lock is re-entrant."""
    answers: list[bool] = []

    def ask() -> None:
        free = lock.acquire(blocking=False)  # type: ignore[attr-defined]  # an RLock has no name
        answers.append(free)
        if free:
            lock.release()  # type: ignore[attr-defined]  # as above

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers[0]


def test_a_locked_method_is_itself_in_all_but_the_lock() -> None:
    """Arguments, result and name pass; it may call another one of its kind."""
    counter = _Counter()

    assert counter.add(2, twice=True) == 4

    assert counter.add.__name__ == "add"
    assert counter.add.__doc__ == "Add *number*."
    assert _is_free(counter.lock)


def test_a_locked_method_that_raises_gives_the_lock_back() -> None:
    """An error must not stop the pool."""
    counter = _Counter()

    with pytest.raises(ValueError, match="inside"):
        counter.fail()

    assert _is_free(counter.lock)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that signal")
@pytest.mark.skipif("COVERAGE_RUN" in os.environ, reason="the coverage tool has such locks itself")
def test_an_interrupt_at_any_moment_leaves_the_lock_free() -> None:
    """On 3.14 a ``with`` in the place of `locked` fails this in every second round."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    stuck = 0
    try:
        for round_number in range(150):
            counter = _Counter()
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + round_number * 1e-6)
                while True:
                    counter.add(1)
            except Interrupted:
                stuck += not _is_free(counter.lock)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert stuck == 0
