"""The one thread of a pool that reads from all its children, and starts and ends them.

It sleeps in ``poll`` until a descriptor is ready; other threads hand it work by `ask`, which wakes
it. It never blocks elsewhere: sockets do not block, what may run code of the user is done by
`loading` and by the callbacks' thread, and a limit of time is a deadline that asks for something.
Why no request is lost: who asks appends, then writes to the pipe; the collector empties the
pipe, then takes what was appended.
Threads: it starts with the first child and ends when the pool is closed and none is left.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.async_runtime.callback_thread import keeps_out_callbacks
from runtime.locking import locked, taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("READ", "WRITE", "Collector")

READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR
WRITE: Final = select.POLLOUT


class Collector:
    """A thread that waits for descriptors. Thread-safe, where not said otherwise.

    Args:
        is_needed: Asked, on the thread, after each round: False ends it.
        at_end: Called on the thread as the last thing.
    """

    def __init__(self, is_needed: Callable[[], bool], at_end: Callable[[], object]) -> None:
        self._is_needed = is_needed
        self._at_end = at_end
        self._requests: deque[Callable[[], object]] = deque()
        self.lock = threading.RLock()  # guards _thread, _ears and _wake; taken inside of no other
        self.taking = taking(self.lock)
        self._thread: threading.Thread | None = None
        self._last: threading.Thread | None = None  # protected by lock: the one before _thread
        self._wake = -1  # the write end of the pipe that wakes the thread
        self._ears = -1
        # The thread's own:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._changes: list[None] = []  # whether something happened after which it may end

    # ---- from any thread ------------------------------------------------------------------

    def ask(self, request: Callable[[], object]) -> None:
        """Have *request* called on the thread, soon; start that where there is none.

        Raises:
            RuntimeError: no thread can be started.
            OSError: no pipe can be had.
        """
        self._requests.append(request)
        try:
            self.wake()
        except BaseException:
            with contextlib.suppress(ValueError):  # done already
                self._requests.remove(request)
            raise

    def end_here(self) -> None:
        """Do what the thread does as the last thing, where none can be started: at the exit."""
        last = self._last
        if last is not None and last is not threading.current_thread():
            last.join()
        if self._thread is None and not self._is_needed():
            self._at_end()

    @locked
    def wake(self) -> None:
        """Let the thread look at its requests; see `ask`.

        Under the lock: either the thread has not decided to end, and then it sees what was
        asked before this, or it has, and then another one is started here.
        """
        if self._thread is None:
            self._start()
        with contextlib.suppress(BlockingIOError):  # the pipe is full: it will look anyway
            os.write(self._wake, b"x")

    def _start(self) -> None:
        """Needs the lock."""
        ears, wake = os.pipe()
        os.set_blocking(ears, False)
        os.set_blocking(wake, False)
        # Daemon: a child that does not end must not keep the interpreter from ending.
        thread = threading.Thread(
            target=self._run, args=(self._last,), name="vela-collector", daemon=True
        )
        self._ears, self._wake, self._thread = ears, wake, thread
        try:
            thread.start()
        except BaseException:
            self._ears = self._wake = -1
            self._thread = None
            os.close(ears)
            os.close(wake)
            raise

    def is_here(self) -> bool:
        """Tell whether this is the collector's own thread."""
        return threading.current_thread() is self._thread

    # ---- on the thread --------------------------------------------------------------------

    def listen(self, fd: int, handler: Callable[[int], object], events: int = READ) -> None:
        """Call *handler* with what happened to *fd*, whenever one of *events* does."""
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of *fd*."""
        if fd in self._handlers:
            self._poll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Do not wait for *fd* any more; before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _run(self, last: threading.Thread | None) -> None:
        keeps_out_callbacks()
        if last is not None:
            last.join()  # it has decided to end, and may be at its last thing
            del last
        poll, handlers, requests, changes = (
            self._poll.poll,
            self._handlers,
            self._requests,
            self._changes,
        )
        self.listen(self._ears, self._hear)
        try:
            while True:
                for fd, events in poll():
                    handler = handlers.get(fd)
                    if handler is not None:  # one before it may have closed this one
                        try:
                            handler(events)
                        except BaseException:  # noqa: BLE001 - see `_call`
                            self._complain()
                if (requests or changes) and self._do_requests():
                    return
        finally:
            self._end()

    def _hear(self, _: int) -> None:
        """Somebody wants to be seen to: empty the pipe, then look at the requests."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._ears, 4096)
        self._changes.append(None)

    def _do_requests(self) -> bool:
        """Do what was asked for; True where the thread is to end."""
        while self._requests:
            self._call(self._requests.popleft())
        self._changes.clear()
        return self._may_end()

    def _call(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException:  # noqa: BLE001 - a bug of ours: the other children go on
            self._complain()

    @staticmethod
    def _complain() -> None:
        logger(__name__).exception("the collector goes on after an error that is no job's")

    def note_change(self) -> None:
        """Something has ended: after this round it may not be needed any more."""
        self._changes.append(None)

    def _may_end(self) -> bool:
        if self._requests or self._is_needed():
            return False
        return self._close_if_quiet()

    @locked
    def _close_if_quiet(self) -> bool:
        """From here on, who asks starts another thread."""
        if self._requests:
            return False
        self._close()
        return True

    def _close(self) -> None:
        """Needs the lock."""
        self._last, self._thread = self._thread, None
        for fd in (self._ears, self._wake):
            if fd >= 0:
                self.forget(fd)
                os.close(fd)
        self._ears = self._wake = -1

    def _end(self) -> None:
        self._close_if_mine()
        self._at_end()

    @locked
    def _close_if_mine(self) -> None:
        if self._thread is threading.current_thread():
            self._close()

    def reset_after_fork(self) -> None:
        """In a forked child: the thread is not here, and its descriptors are the parent's."""
        for fd in (self._ears, self._wake):
            if fd >= 0:
                os.close(fd)
        self._ears = self._wake = -1
        self._thread = self._last = None
        self._requests.clear()
        self._handlers.clear()
        self._poll = select.poll()
        self.lock = threading.RLock()
        self.taking = taking(self.lock)
