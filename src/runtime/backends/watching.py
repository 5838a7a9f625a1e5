"""Waiting until a backend is in some state.

Source: worker-api-spec.md, section 9.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
        self._waiting: list[ThreadWaker] = []  # appended to and removed from atomically

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
