"""What all jobs of a pool share: the lock, the clock, the counters, the backend.

The pool that users hold owns one; jobs and threads know only this, so a pool that is dropped is
collected, whatever its jobs still do.
Source: worker-api-spec.md, sections 3 and 9; ADR-006.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Final

from runtime.async_runtime.reports import tell
from runtime.async_runtime.running import FREE_THREADED
from runtime.async_runtime.timers import DeadlineQueue, shared_deadlines
from runtime.clock import SYSTEM_CLOCK
from runtime.locking import taking
from runtime.scheduling.durations import DurationCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.reports import UnhandledError
    from runtime.backends.base import Backend, PoolLock
    from runtime.clock import Clock

__all__ = ("PoolCore",)

_STATES: Final = 6  # as many counters as `HandleState` has members


class PoolCore:
    """See the module. The lock guards what is marked so; the rest never changes.

    Taken by ``True in taking``, never by ``with``: see `runtime.locking`.
    """

    __slots__ = (
        "__weakref__",
        "_deadlines",
        "backend",
        "clock",
        "done",  # how many jobs ended in each HandleState; protected by lock
        "lock",
        "next_id",
        "now",
        "on_unhandled",
        "run_time",  # protected by lock
        "taking",  # takes the lock: see `runtime.locking`
        "wait_time",  # protected by lock
    )

    def __init__(self, clock: Clock, on_unhandled: Callable[[UnhandledError], object]) -> None:
        # Re-entrant: a signal handler or a finalizer may spawn or cancel while this thread is
        # inside; the sections it could interrupt look at the state only after they have it.
        self.lock: PoolLock = threading.RLock()
        self.taking = taking(self.lock)
        self.clock = clock
        self.now = clock.now
        self.on_unhandled = on_unhandled
        self.backend: Backend | None = None  # None: a handle made by hand
        self.done = [0] * _STATES
        self.wait_time = DurationCounter()
        self.run_time = DurationCounter()
        self.next_id = _new_counter()
        self._deadlines: DeadlineQueue | None = None

    @property
    def deadlines(self) -> DeadlineQueue:
        """Who watches the deadlines: one thread for the process, or whoever moves the clock."""
        if self.clock is SYSTEM_CLOCK:
            return shared_deadlines()
        with self.lock:
            if self._deadlines is None:
                self._deadlines = DeadlineQueue(self.clock)
            return self._deadlines

    def sample(self, queued_at: float, started_at: float | None, ended_at: float) -> None:
        """Count the times of one job. Needs lock; never raises."""
        if started_at is None:
            return
        self.wait_time.add(started_at - queued_at)
        self.run_time.add(ended_at - started_at)

    def tell_unhandled(self, report: UnhandledError) -> None:
        """Call the hook with a failure that was just freed, and never while we have the lock.

        What waits in the queue may be freed where it is passed over; then the watcher's thread
        calls the hook. ``_is_owned`` is what `threading.Condition` asks of such a lock.
        """
        is_owned = getattr(self.lock, "_is_owned", None)
        if is_owned is not None and is_owned():
            hook = self.on_unhandled
            with contextlib.suppress(RuntimeError):  # no thread can be started: then here and now
                shared_deadlines().add_in(0.0, lambda: tell(hook, report))
                return
        tell(self.on_unhandled, report)

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's other threads may have held the lock."""
        self.lock = threading.RLock()
        self.taking = taking(self.lock)
        self._deadlines = None
        if isinstance(self.next_id, _LockedCounter):
            self.next_id = _LockedCounter(self.next_id.last)


def _new_counter() -> Callable[[], int]:
    """Return a thread-safe source of 1, 2, 3, ..."""
    if FREE_THREADED:
        return _LockedCounter(0)
    return itertools.count(1).__next__  # atomic under the GIL


class _LockedCounter:
    """The same without the GIL. Goes on after *last*: in a forked child too, with a new lock."""

    __slots__ = ("_lock", "_taking", "last")

    def __init__(self, last: int) -> None:
        self.last = last  # protected by _lock
        self._lock = threading.RLock()  # a signal handler may ask in the middle
        self._taking = taking(self._lock)

    def __call__(self) -> int:
        lock = self._lock
        _ = True in self._taking  # see `runtime.locking`
        try:
            number = self.last + 1
            self.last = number
        finally:
            lock.release()
        return number
