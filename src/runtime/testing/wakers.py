"""A waker that counts, for looking at a future by hand.

Source: async-runtime-spec.md, section 10.
"""

from __future__ import annotations

import threading
from typing import final

from runtime.async_runtime.waker import Waker

__all__ = ("CountingWaker",)


@final
class CountingWaker(Waker):
    """Counts every `wake`, also those between which nobody called `reset`. Thread-safe."""

    __slots__ = ("_count", "_woken")

    def __init__(self) -> None:
        super().__init__()
        self._count = 0  # protected by _woken's own lock
        self._woken = threading.Condition()

    @property
    def count(self) -> int:
        """How often it was woken."""
        with self._woken:
            return self._count

    def wake(self) -> None:
        """Count one more."""
        super().wake()
        with self._woken:
            self._count += 1
            self._woken.notify_all()

    def wait(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Block until woken *count* times in all; False after *timeout* seconds."""
        with self._woken:
            return self._woken.wait_for(lambda: self._count >= count, timeout)

    def clone(self) -> CountingWaker:
        """Return a waker with a count of its own, 0."""
        return CountingWaker()

    def __repr__(self) -> str:
        return f"<CountingWaker {self._count}>"
