"""A clock that stands still until the test moves it.

Owns: the time, and who wants to hear of a move.
Threads: any; listeners are called on the thread that moves, with no lock held.
Invariant: the time never goes back.
Source: async-runtime-spec.md, section 10.
"""

from __future__ import annotations

import itertools
import math
import threading
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ManualClock",)


@final
class ManualClock:
    """A `SteppedClock` for tests: ``Executor(clock=ManualClock())``. Thread-safe.

    Args:
        start: The time at the beginning.
        auto_advance: Jump to the next deadline whenever an executor on this clock would
            have to sleep for it: a program that waits for nothing but time runs at
            once. With it, work in other threads is overtaken by the clock.
    """

    def __init__(self, start: float = 0.0, *, auto_advance: bool = False) -> None:
        self.auto_advance = auto_advance
        self._lock = threading.RLock()  # guards _now and _listeners; re-entrant for finalizers
        self._now = float(start)
        self._listeners: dict[int, Callable[[], None]] = {}
        self._keys = itertools.count()

    def now(self) -> float:
        """Return the time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by *seconds* and tell the listeners.

        Raises:
            ValueError: *seconds* is negative, infinite or NaN.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock moves on by 0 or more seconds, got {seconds!r}")
        with self._lock:
            self._now += seconds
        self._tell()

    def advance_to(self, deadline: float) -> None:
        """Move on to *deadline*, where that lies ahead, and tell the listeners.

        Raises:
            ValueError: *deadline* is infinite or NaN.
        """
        if not math.isfinite(deadline):
            raise ValueError(f"a clock moves to a point in time, got {deadline!r}")
        with self._lock:
            self._now = max(self._now, deadline)
        self._tell()

    def on_advance(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* after each move, on the mover's thread; return what ends that."""
        with self._lock:
            key = next(self._keys)
            self._listeners[key] = callback

        def forget() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return forget

    def idle(self, deadline: float) -> bool:
        """Move to *deadline* and return True with ``auto_advance``, else return False."""
        if self.auto_advance:
            self.advance_to(deadline)
        return self.auto_advance

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener()

    def __repr__(self) -> str:
        return f"<ManualClock at {self._now}s>"
