"""Raise an exception in a running job: opt-in, and only while the job's own code runs.

``PyThreadState_SetAsyncExc`` makes a thread raise at its next bytecode. That must never hit our own
code, so a job that may be interrupted runs inside a window:

- `send` works only while the window of that job is open, under a lock; closing it takes back what
  was sent and not yet raised, and whatever was raised on the way out is absorbed here.
- While the job waits inside of the pool the window is shut (`shut` and `reopen`): other jobs
  may run on its thread meanwhile. A request that comes then is raised when the wait ends.
- While a function of this package is on top of the thread's stack, the exception waits: it is sent
  a moment later. (Without the GIL the thread runs on while we look: then this is best effort.)

A job blocked in C sees the exception when that call returns: it is `abandoned` until then.
Source: worker-api-spec.md, section 5.3; ADR-004.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from runtime.async_runtime.timers import shared_deadlines
from runtime.errors import CancelRequestedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import JobSink

__all__ = ("Interrupts",)

T = TypeVar("T")

_OURS: Final = __name__.partition(".")[0]
# Code of the standard library that works for us as well as for jobs: who called it counts.
_ANYBODYS: Final = frozenset({"concurrent", "contextlib", "functools", "logging", "threading"})
# Before 3.13 the interpreter keeps looking for an exception that was taken back, in all threads.
_CAN_TAKE_BACK: Final = sys.version_info >= (3, 13)
_AGAIN: Final = 0.001  # seconds until the next try, where our own code was on top


class Interrupts:
    """The window of one thread; made on that thread."""

    __slots__ = ("_ident", "_job", "_lock", "_sent", "_set_error")

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._lock = threading.RLock()  # guards _job and _sent; nothing else is locked inside
        self._job: JobSink | None = None  # whose window is open
        self._sent = False  # whether its exception is on the way, or raised
        self._set_error = _setter()

    def send(self, job: JobSink) -> bool:
        """Make *job* raise `CancelRequestedError`; False where its window is not open."""
        with self._lock:
            if self._job is not job or self._sent:
                return False
            ours = self._is_ours()
            if not ours:
                self._sent = True
                self._set_error(self._ident, CancelRequestedError)
        if ours:
            shared_deadlines().add_in(_AGAIN, lambda: self.send(job))
        return True

    def call(self, job: JobSink, func: Callable[[], T]) -> T:
        """Call *func* inside a window for *job*; only on the thread itself."""
        try:
            try:
                self._open(job)
                return func()
            finally:
                self._close()
        except CancelRequestedError:
            # Raised by the job, or while we were closing: in both cases the window must be shut.
            self._close()
            raise

    def shut(self) -> JobSink | None:
        """Shut the window while its job waits; return whose it was, for `reopen`."""
        job = self._job
        self._close()
        return job

    def reopen(self, job: JobSink | None) -> None:
        """Open the window again that `shut` gave.

        Raises:
            CancelRequestedError: the job was asked to stop meanwhile.
        """
        if job is None:
            return
        if job.is_over():
            raise CancelRequestedError(f"{job.label} was asked to stop")
        self._open(job)
        if job.is_over():  # meanwhile: who asked may have found the window shut
            self._close()
            raise CancelRequestedError(f"{job.label} was asked to stop")

    def reset_after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def _open(self, job: JobSink) -> None:
        with self._lock:
            self._job, self._sent = job, False

    def _close(self) -> None:
        """Shut the window; take back what has not been raised yet."""
        with self._lock:
            self._job = None
            sent, self._sent = self._sent, False
        if sent:
            for _ in range(10):  # with the GIL, what is on the way is raised here at the latest
                pass
            if _CAN_TAKE_BACK:
                self._set_error(self._ident, None)

    def _is_ours(self) -> bool:
        frame = sys._current_frames().get(self._ident)
        while frame is not None:
            package = str(frame.f_globals.get("__name__")).partition(".")[0]
            if package not in _ANYBODYS:
                return package == _OURS
            frame = frame.f_back
        return False


def _setter() -> Callable[[int, type[BaseException] | None], None]:
    import ctypes  # noqa: PLC0415 - dear to load, and only for who opts in

    def set_error(ident: int, error: type[BaseException] | None) -> None:
        value = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), value)

    return set_error
