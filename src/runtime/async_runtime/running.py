"""Which executor runs on this thread, and what to tell before the thread blocks.

The two are one thread-local object with class-level defaults: reading either on a
thread that never set it costs one attribute look-up and allocates nothing.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.outcome import OutcomeFuture

__all__ = (
    "FREE_THREADED",
    "Blocker",
    "current_executor",
    "full_fence",
    "reset_after_fork",
    "running",
)

# Without the GIL a store followed by a load of something else may be seen in the other
# order by another thread. Where a hand-off depends on that order, and no lock of ours or
# of a builtin container lies between, `full_fence` goes there. With the GIL it is not needed.
FREE_THREADED: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
_fence = threading.Lock()


def full_fence() -> None:
    """Order every store before this call ahead of every load after it."""
    with _fence:  # an atomic read-modify-write is a full barrier
        pass


class Blocker(Protocol):
    """Told by a thread of a pool before it waits: it may find the thread something better."""

    def wait(
        self,
        future: OutcomeFuture[Any] | None,  # Any: of whatever type
        limit: float | None,
        block: Callable[[], bool],
        needed: OutcomeFuture[Any] | None = None,  # Any: as above
    ) -> bool:
        """Wait for *future* (None: for anything) by calling *block*, or make it unnecessary.

        *needed* is what whoever waits for anything cannot come to an end without.

        *block* returns after *limit* seconds (None: no limit), so nothing may take longer.

        Returns what *block* returned, or True where *future* is settled without it.
        """
        ...


class _Running(threading.local):
    executor: Executor | None = None
    blocker: Blocker | None = None


running: Final = _Running()


def current_executor() -> Executor | None:
    """Return the executor that is polling a task on this thread, or None."""
    return running.executor


def reset_after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _fence  # noqa: PLW0603 - see above
    _fence = threading.Lock()
