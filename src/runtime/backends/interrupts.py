"""Raise an exception in a running job: opt-in, and only while the job's own code runs.

``PyThreadState_SetAsyncExc`` makes a thread raise at its next bytecode. That must
never hit our own code between two jobs, so a job that may be interrupted runs inside
a window: `send` works only while the window of that job is open, under a lock; closing it takes back
what was sent and not yet raised, and whatever was raised on the way out is absorbed here.
A job blocked in C sees the exception when that call returns: it is `abandoned` until then.
Source: worker-api-spec.md, section 5.3; ADR-004.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from runtime.errors import CancelRequestedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import JobSink

__all__ = ("Interrupts",)

T = TypeVar("T")


class Interrupts:
    """The window of one thread."""

    __slots__ = ("_ident", "_job", "_lock", "_sent")

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._lock = threading.Lock()  # guards _job and _sent; nothing else is locked inside
        self._job: JobSink | None = None  # whose window is open
        self._sent = False

    def send(self, job: JobSink) -> bool:
        """Make *job* raise `CancelRequestedError`; False where its window is not open."""
        with self._lock:
            if self._job is not job or self._sent:
                return False
            self._sent = True
            _set_async_error(self._ident, CancelRequestedError)
            return True

    def call(self, job: JobSink, func: Callable[[], T]) -> T:
        """Call *func* inside a window for *job*; only on the thread itself."""
        with self._lock:
            outer, self._job = self._job, job
            outer_sent, self._sent = self._sent, False
        try:
            try:
                return func()
            finally:
                self._close(outer, outer_sent)
        except CancelRequestedError:
            # Raised by the job, or while we were closing: in both cases the window must be shut.
            self._close(outer, outer_sent)
            raise

    def _close(self, outer: JobSink | None, outer_sent: bool) -> None:
        """Shut the window; take back what has not been raised yet."""
        with self._lock:
            if self._job is outer:
                return
            self._job = outer
            sent, self._sent = self._sent, outer_sent
        if sent:
            _set_async_error(self._ident, None)


def _set_async_error(ident: int, error: type[BaseException] | None) -> None:
    import ctypes  # noqa: PLC0415 - dear to load, and only for who opts in

    target = ctypes.c_ulong(ident)
    value = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(target, value)
