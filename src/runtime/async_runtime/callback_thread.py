"""Done-callbacks that must not run where the future is settled: a thread that runs them.

The deadline watcher answers every limit in the process; a callback of the user's that blocks there
would stop them all. So what the watcher's thread settles has its callbacks run here, one
after the other. The thread starts when there is something to run and ends when there is
nothing. Threads: any may `submit`; a signal handler too.
Source: async-runtime-spec.md, section 3.3; ADR-005.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.locking import taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("keeps_out_callbacks", "must_hand_over", "reset_after_fork", "submit")

_NAME: Final = "vela-callbacks"


class _Here(threading.local):
    watches = False  # whether this thread has no time for callbacks


_here = _Here()
_queue: deque[Callable[[], object]] = deque()
_thread: threading.Thread | None = None  # protected by _lock
_lock = threading.RLock()  # re-entrant: a signal handler may submit while this thread does


def keeps_out_callbacks() -> None:
    """Have done-callbacks of what this thread settles run on the other thread from now on."""
    _here.watches = True


def must_hand_over() -> bool:
    """Tell whether this thread must not run callbacks itself."""
    return _here.watches


def submit(call: Callable[[], object]) -> None:
    """Have *call* run on the thread, after all that were submitted before; here if none starts."""
    _queue.append(call)
    fresh = _claim()
    if fresh is None:
        return
    try:
        fresh.start()
    except RuntimeError:  # no thread to be had: late limits are better than lost callbacks
        _run()


def _claim() -> threading.Thread | None:
    """Return the thread to start, where none runs the queue."""
    global _thread  # noqa: PLW0603 - there is one for the process
    lock = _lock
    _ = True in taking(lock)  # takes it: see `runtime.locking`
    try:
        if _thread is not None:
            return None
        # Daemon: a callback that never ends must not keep the interpreter from ending.
        _thread = threading.Thread(target=_run, name=_NAME, daemon=True)
        return _thread
    finally:
        lock.release()


def _run() -> None:
    """Run what is queued, and what comes meanwhile."""
    global _thread  # noqa: PLW0603 - as above
    while True:
        with _lock:
            if not _queue:
                _thread = None  # under the lock: whoever submits now starts another one
                return
            call = _queue.popleft()
        try:
            call()
        except BaseException:  # noqa: BLE001 - reported: there is nobody that it could reach
            logger(__name__).exception("the callback %r raised; other callbacks still run", call)
        del call


def reset_after_fork() -> None:
    """In a forked child: the thread is not here, and what it had to run is the parent's."""
    global _lock, _thread  # noqa: PLW0603 - the parent may have held the lock
    _lock = threading.RLock()
    _thread = None
    _queue.clear()
    _here.watches = False
