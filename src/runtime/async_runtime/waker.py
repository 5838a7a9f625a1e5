"""How a future tells its task to poll it again.

Threads: `Waker.wake` may be called from any thread, from a signal handler and
from ``__del__``: it takes no lock that somebody could hold.
Source: async-runtime-spec.md, section 2; ADR-001.
"""

from __future__ import annotations

import _thread
from abc import ABCMeta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("NOOP", "Waker")


class Waker(metaclass=ABCMeta):  # noqa: B024 - so that the executor's tasks count as wakers too
    """Calls *callback* once, until `reset` arms it again. Thread-safe.

    Args:
        callback: Called without arguments by the first `wake`; None for nothing.
            What it raises reaches the caller of `wake`.
    """

    __slots__ = ("__weakref__", "_callback", "_flag")

    def __init__(self, callback: Callable[[], object] | None = None) -> None:
        self._callback = callback
        # Locked means woken. A lock that is only ever *tried* is an atomic test-and-set:
        # of two threads that wake at once, one calls back; none can ever block here.
        self._flag = _thread.allocate_lock()

    def wake(self) -> None:
        """Ask for one more poll."""
        if self._flag.acquire(False) and self._callback is not None:
            self._callback()

    def wake_by_ref(self) -> None:
        """Do the same as `wake`: in Python a waker is never consumed."""
        self.wake()

    def is_woken(self) -> bool:
        """Tell whether `wake` was called since the last `reset`."""
        return self._flag.locked()

    def reset(self) -> None:
        """Arm the callback again."""
        try:
            self._flag.release()
        except RuntimeError:  # was not woken
            return

    def clone(self) -> Waker:
        """Return a waker with the same callback and a flag of its own, not woken."""
        return Waker(self._callback)

    @staticmethod
    def noop() -> Waker:
        """Return the waker that does nothing: for a single look at a future."""
        return NOOP

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'woken' if self.is_woken() else 'armed'}>"


class _NoopWaker(Waker):
    """Never woken, calls nothing; futures do not keep it."""

    __slots__ = ()

    def wake(self) -> None:
        return

    def clone(self) -> Waker:
        return self


NOOP: Final[Waker] = _NoopWaker()
