"""Raise an exception in a running job: opt-in, and only while the job's own code runs.

``PyThreadState_SetAsyncExc`` makes a thread raise at its next bytecode. That must never hit our own
code, so a job that may be interrupted runs inside a window:

- `send` works only while the window of that job is open, under a lock; closing it takes back what
  was sent and not yet raised, and whatever was raised on the way out is absorbed here.
- While the job waits inside of the pool the window is shut (`shut` and `reopen`): other jobs
  may run on its thread meanwhile. A request that comes then is raised when the wait ends.
- It waits while anything is on top of the job's own code that must not be cut in two: a function of
  this package, the import system, `threading`, `logging`. Then it is sent a little later. The
  look at the stack and the sending are one step. (Without the GIL the thread runs on while we
  look: then this is best effort.)

A job blocked in C sees the exception when that call returns: it is `abandoned` until then.
Source: worker-api-spec.md, section 5.3; ADR-004.
"""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from runtime.async_runtime.timers import shared_deadlines
from runtime.errors import CancelRequestedError
from runtime.locking import taking

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from runtime.backends.base import JobSink

__all__ = ("Interrupts",)

T = TypeVar("T")

# They take locks, and whoever they call on the way (a module's body, a callback, a finalizer)
# may give the exception to somebody else than the job.
_NOT_TO_CUT: Final = frozenset(
    {
        __name__.partition(".")[0],
        "_frozen_importlib",
        "_frozen_importlib_external",
        "concurrent",
        "importlib",
        "logging",
        "threading",
    }
)
# They may have called the job's code; only their own must not be cut.
_BETWEEN: Final = frozenset({"contextlib", "functools"})
# Before 3.13 the interpreter keeps looking for an exception that was taken back, in all threads.
_CAN_TAKE_BACK: Final = sys.version_info >= (3, 13)
_AGAIN: Final = 0.001  # seconds until the next try; twice as long each time, up to
_AGAIN_AT_MOST: Final = 0.05


class Interrupts:
    """The window of one thread; made on that thread."""

    __slots__ = ("_ident", "_job", "_lock", "_raise", "_sent", "_take_back", "_tops")

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._lock = threading.RLock()  # guards _job and _sent; nothing else is locked inside
        self._job: JobSink | None = None  # whose window is open
        self._sent = False  # whether its exception is on the way, or raised
        # All C, so that nothing runs between the last look and the sending.
        self._raise, self._take_back = _setters(self._ident)
        self._tops = map(operator.itemgetter(self._ident), iter(sys._current_frames, None))

    def send(self, job: JobSink, again: float = _AGAIN) -> bool:
        """Make *job* raise `CancelRequestedError`; False where its window is not open.

        Where that must wait, the next try comes after *again* seconds.
        """
        lock = self._lock
        _ = True in taking(lock)  # takes it: see `runtime.locking`
        try:
            if self._job is not job or self._sent:
                return False
            self._try_to_raise()
            sent = self._sent
        finally:
            lock.release()
        if not sent:
            later = min(again * 2, _AGAIN_AT_MOST)
            shared_deadlines().add_in(again, lambda: self.send(job, later))
        return True

    def _try_to_raise(self) -> None:
        """Set the exception, unless that could cut in two what must not be. Needs _lock."""
        top = self._user_on_top()
        if top is None:
            return
        look = itertools.islice(self._tops, 1)
        # The GIL may have changed hands since. ``in`` looks again, all in C, and the next place
        # where this thread lets the GIL go comes after the call.
        if top in look:
            self._sent = True
            self._raise()

    def call(self, job: JobSink, func: Callable[[], T]) -> T:
        """Call *func* inside a window for *job*; only on the thread itself."""
        try:
            try:
                self._open(job)
                return func()
            finally:
                self._close()
                del job, func  # an error's traceback keeps this frame: it must not keep the job
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
                self._take_back()

    def _user_on_top(self) -> FrameType | None:
        """Return the frame on top of the thread's stack, or None where it must not be cut."""
        top = frame = sys._current_frames().get(self._ident)
        depth = first_cut = last_user = 0
        while frame is not None and frame.f_code is not _CALL:
            depth += 1
            package = str(frame.f_globals.get("__name__")).partition(".")[0]
            if package in _NOT_TO_CUT:
                if not first_cut:
                    first_cut = depth
            elif package not in _BETWEEN:
                last_user = depth
            elif depth == 1:
                return None
            frame = frame.f_back
        # Below the job's first function there are those of ours that called it.
        return top if last_user and not 0 < first_cut < last_user else None


_CALL: Final = Interrupts.call.__code__


def _setters(ident: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what raises in thread *ident*, and what takes that back."""
    import ctypes  # noqa: PLC0415 - dear to load, and only for who opts in

    set_error = functools.partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(ident))
    error = ctypes.py_object(CancelRequestedError)
    return functools.partial(set_error, error), functools.partial(set_error, None)
