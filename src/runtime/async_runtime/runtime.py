"""One executor that a program may share: `Runtime`, and `block_on` for the impatient.

A convenience on top: nothing in this package needs it, and more runtimes can be made.
Source: async-runtime-spec.md, section 9.
"""

from __future__ import annotations

import sys
import threading
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar

from runtime.async_runtime.executor import Executor

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.future import FutureLike

__all__ = ("Runtime", "block_on", "reset_after_fork")

T = TypeVar("T")


class Runtime:
    """An executor with the verbs that a program starts with.

    Args:
        executor: What to use; a new one by default.
    """

    _shared: Runtime | None = None  # protected by _lock
    _lock = threading.Lock()  # guards _shared

    def __init__(self, executor: Executor | None = None) -> None:
        self.executor = Executor() if executor is None else executor

    @classmethod
    def get(cls) -> Runtime:
        """Return the process's runtime: the same object each time, made on first use."""
        shared = cls._shared
        if shared is None:
            made = Runtime()
            with cls._lock:
                shared = cls._shared = cls._shared or made
        return shared

    def spawn(self, future: FutureLike[T]) -> DrivenTask[T]:
        """See `Executor.spawn`."""
        task = self.executor.spawn(future)
        task._spawned_at(sys._getframe(1))
        return task

    def block_on(self, future: FutureLike[T], timeout: float | None = None) -> T:
        """See `Executor.run_until_complete`."""
        return self.executor.run_until_complete(future, timeout)

    def run(self, max_iterations: int | None = None) -> None:
        """See `Executor.run`."""
        self.executor.run(max_iterations)

    def stop(self) -> None:
        """See `Executor.stop`."""
        self.executor.stop()

    def __repr__(self) -> str:
        return f"<Runtime of {self.executor!r}>"


class _OfThread(threading.local):
    executor: Executor | None = None


_of_thread = _OfThread()


def block_on(future: FutureLike[T], timeout: float | None = None) -> T:
    """Drive *future* to its end on this thread and return its value.

    Uses the executor of `Runtime.get`; in a thread other than the one that this belongs
    to, an executor of the thread's own.

    Raises: as `Executor.run_until_complete`.
    """
    executor = Runtime.get().executor
    if executor._owner != get_ident() and not executor._claim():
        if _of_thread.executor is None:
            _of_thread.executor = Executor()
        executor = _of_thread.executor
    return executor.run_until_complete(future, timeout)


def reset_after_fork() -> None:
    """In a forked child: forget the parent's runtime; the next `Runtime.get` makes one."""
    Runtime._shared = None
    Runtime._lock = threading.Lock()  # the parent's may be locked for ever
    _of_thread.executor = None
