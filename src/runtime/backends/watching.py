"""Waiting until a backend is in some state.

Source: worker-api-spec.md, section 9.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from runtime.async_runtime.running import running
from runtime.async_runtime.waiters import ThreadWaker
from runtime.locking import locked, taking

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import PoolLock

__all__ = ("Watchers",)


class Watchers:
    """Threads that wait for a condition of one backend; told whenever it may have changed.

    Args:
        lock: What the conditions need; the pool's lock.
    """

    __slots__ = ("_waiting", "lock", "taking")

    def __init__(self, lock: PoolLock) -> None:
        self.lock = lock
        self.taking = taking(lock)
        # Appended to and removed from atomically.
        self._waiting: list[ThreadWaker | _Once] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until *condition* holds, False after *timeout* seconds (None: no limit).

        It is called with the lock held. No change is missed: the waiter is in the list before
        the condition is looked at, and whoever changes something tells the list after it.
        """
        waker = ThreadWaker()
        deadline = None if timeout is None else time.monotonic() + timeout
        self._waiting.append(waker)
        try:
            while True:
                if self._holds(condition):
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._park(waker, left)
        finally:
            self._waiting.remove(waker)

    def when(self, condition: Callable[[], bool], call: Callable[[], object]) -> None:
        """Call *call* as soon as *condition* holds, here or on the thread that makes it so.

        It is called without the lock, perhaps by two threads at once, and must not raise.
        """
        once = _Once(self, condition, call)
        self._waiting.append(once)
        once.wake()

    def look(self, once: _Once) -> None:
        """Call what is to be called, and forget it, where its condition holds."""
        if self._holds(once.condition):
            with contextlib.suppress(ValueError):  # another thread has seen it too
                self._waiting.remove(once)
            once.call()

    @locked
    def _holds(self, condition: Callable[[], bool]) -> bool:
        return condition()

    @staticmethod
    def _park(waker: ThreadWaker, limit: float | None) -> None:
        blocker = running.blocker
        if blocker is None:
            waker.park(limit)
        else:  # inside of a job: its pool may use another thread meanwhile
            blocker.wait(None, limit, lambda: waker.park(limit))

    def tell(self) -> None:
        """Let everybody look again. Needs no lock."""
        for waker in self._waiting.copy():
            waker.wake()


class _Once(NamedTuple):
    """Something that is to be called when a condition holds; see `Watchers.when`."""

    watchers: Watchers
    condition: Callable[[], bool]
    call: Callable[[], object]

    def wake(self) -> None:
        """Something has changed."""
        self.watchers.look(self)
