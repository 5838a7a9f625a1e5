"""Putting a loop's thread to sleep and waking it, without ever losing a wake-up.

The order is everything. Who sleeps: (1) set ``armed``, (2) look at the queue again,
(3) sleep. Who wakes: (a) put the task in the queue, (b) look at ``armed``, (c) signal. If (a)
comes before (2), the sleeper sees the task. If not, (1) came before (b) and the
waker signals. Both steps in the middle are atomic operations of the queue, a deque, so the order
also holds without the GIL. A signal that comes before the sleep is remembered by the lock.

A signal reaches whoever wants it: the parked thread (a lock, that is a futex: it costs next to
nothing where nobody sleeps), the descriptor that a host asked for, the callback that a host gave.
While tasks wait for descriptors, and only then, the thread sleeps in a selector (`watching`).
Source: async-runtime-spec.md, section 8; ADR-002, ADR-012.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime.locking import taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.watching import Watcher

__all__ = ("Parker", "reset_after_fork")


class Parker:
    """One sleeper and any number of wakers. Thread-safe where not said otherwise.

    Args:
        on_wake: Called, coalesced, from whichever thread signals; its errors are logged.
    """

    __slots__ = (
        "__weakref__",
        "_claim",
        "_gate",
        "_host_listens",
        "_host_lock",
        "_on_wake",
        "_pipe",
        "_rings",
        "armed",
        "watcher",
    )

    def __init__(self, on_wake: Callable[[], object] | None = None) -> None:
        self.armed = False  # True: the next wake must signal
        # Free while armed: of wakers that come at once, the one that takes it signals.
        # Only ever tried, so a signal handler or a finalizer can never wait for it.
        self._claim = threading.Lock()
        self._claim.acquire()
        self._gate = threading.Lock()  # locked unless a signal waits to be taken
        self._gate.acquire()
        self._on_wake = on_wake  # set once; taken away by close
        self._host_lock = threading.RLock()  # guards _pipe: no write after the close; re-entrant
        self._pipe: _EventFd | _SocketPair | None = None
        self._host_listens = False  # a host has asked for the descriptor
        self._rings = False  # whether a signal must show in the pipe; set before `armed`
        self.watcher: Watcher | None = None  # made when somebody waits for a descriptor

    @property
    def has_host(self) -> bool:
        """Whether somebody outside wants to hear of wake-ups between steps."""
        return self._on_wake is not None or self._host_listens

    @property
    def is_watching(self) -> bool:
        """Whether tasks wait for descriptors. Only the owner."""
        return self.watcher is not None and self.watcher.is_watching

    def arm(self) -> None:
        """Ask for a signal at the next wake. Only the owner, who then looks at the queue again."""
        if self.watcher is not None:
            self._rings = self._host_listens or self.watcher.is_watching
        if self._claim.locked():
            self._claim.release()
        self.armed = True

    def park(self, timeout: float | None) -> bool:
        """Sleep until a signal; False after *timeout* seconds. Only the owner; needs `arm`.

        A descriptor that is ready counts as a signal: those who wait for it are woken.
        """
        if self.watcher is not None and self.watcher.is_watching:
            return self._select(self.watcher, timeout)
        if timeout is None:
            woken = self._gate.acquire()
        else:
            woken = timeout > 0 and self._gate.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        self.armed = False
        return woken

    def _select(self, watcher: Watcher, timeout: float | None) -> bool:
        """Sleep as `park` does, in the selector."""
        try:
            ready = watcher.select(timeout)
        finally:
            self.armed = False  # before anybody is woken: they need no signal
        if watcher.rung and self._pipe is not None:
            self._pipe.read()
        watcher.settle(ready)
        return watcher.rung or bool(ready)

    def look(self) -> bool:
        """Wake those whose descriptors are ready; tell whether there were any. Only the owner."""
        watcher = self.watcher
        if watcher is None or not watcher.is_watching:
            return False
        return watcher.settle(watcher.select(0.0))

    def signal(self) -> None:
        """Wake the sleeper and tell the host, once for each `arm`."""
        if not self._claim.acquire(False):
            return
        # A store that comes late does no harm: what follows makes the owner look again.
        self.armed = False
        with suppress(RuntimeError):  # a signal waits already
            self._gate.release()
        self.mark_readable()
        on_wake = self._on_wake
        if on_wake is not None:
            try:
                on_wake()
            except Exception:  # noqa: BLE001 - reported
                logger(__name__).exception("on_wake %r raised", on_wake)

    def fileno(self) -> int:
        """Return a descriptor that is readable while a signal waits, or a watched one is ready.

        Made on first use.
        """
        watcher = self.make_watcher()
        self._host_listens = self._rings = True
        own = watcher.fileno()
        return watcher.bell if own is None else own

    def make_watcher(self) -> Watcher:
        """Return the watcher, which also hears of signals; made on first use."""
        from runtime.async_runtime.watching import Watcher  # noqa: PLC0415 - loads the selectors

        lock = self._host_lock
        _ = True in taking(lock)  # takes it: see `runtime.locking`
        try:
            if self.watcher is None:
                self._pipe = _EventFd() if hasattr(os, "eventfd") else _SocketPair()
                _with_descriptor.add(self)
                self.watcher = Watcher(self._pipe.fileno())
            return self.watcher
        finally:
            lock.release()

    def mark_readable(self) -> None:
        """Make the descriptor readable, where somebody may look at it."""
        if self._rings:
            lock = self._host_lock
            _ = True in taking(lock)  # as in make_watcher
            try:
                if self._pipe is not None:
                    self._pipe.write()
            finally:
                lock.release()

    def clear(self) -> None:
        """Take the signal from the descriptor. Only the owner, before it looks at the queue."""
        if self._pipe is not None:
            self._pipe.read()

    def close(self) -> None:
        """Give back the descriptors. Only the owner; a late signal is harmless."""
        self._on_wake = None
        self._give_back()

    def rest(self) -> None:
        """Give back the descriptors where nobody needs them. Only the owner, after a run."""
        if not self._host_listens and not self.is_watching:
            self._give_back()

    def _give_back(self) -> None:
        if self._pipe is not None:
            with self._host_lock:
                pipe, self._pipe = self._pipe, None
                watcher, self.watcher = self.watcher, None
                self._host_listens = self._rings = False
            if watcher is not None:
                watcher.close()
            if pipe is not None:
                pipe.close()


class _EventFd:
    """A counter of the kernel: one descriptor. Linux."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._descriptor

    def write(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def read(self) -> None:
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._descriptor)


class _SocketPair:
    """The same by two sockets, which any system can select on."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        import socket  # noqa: PLC0415 - as dear to import as this package

        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def write(self) -> None:
        try:
            self._writer.send(b"\0")
        except BlockingIOError:  # full: then it is readable
            return

    def read(self) -> None:
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


_with_descriptor: weakref.WeakSet[Parker] = weakref.WeakSet()  # for a forked child


def reset_after_fork() -> None:
    """In a forked child: let go of descriptors that the parent's loops listen to."""
    for parker in list(_with_descriptor):
        parker._host_lock = threading.RLock()  # another thread of the parent may have held it
        on_wake = parker._on_wake
        parker.close()
        parker._on_wake = on_wake
