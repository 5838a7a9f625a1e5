"""A lent thread that watches one descriptor, for a host that cannot.

It looks once for each time that it is asked, and sleeps on a lock between: no CPU while idle.
Threads: one, from the making of a `Lookout` until it is closed or nobody holds it; `Lookout.look`
and `Lookout.close` are called in the host's thread.
Invariant: the thread does not hold the `Lookout`, so one that is dropped takes its thread along.
Source: interop-spec.md, sections 3.3 and 3.4; ADR-012.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Lookout",)


@final
class Lookout:
    """Calls *ring* when *descriptor* is readable, once for each `look`.

    Args:
        descriptor: What to watch.
        ring: Called in the lookout's thread, which holds it: it must not hold the lookout.
    """

    def __init__(self, descriptor: int, ring: Callable[[], object]) -> None:
        self._stop, stopped = socket.socketpair()
        self._post = _Post(descriptor, stopped, ring)
        self._thread = threading.Thread(target=self._post.run, name="vela-lookout", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Watch until it is readable, and ring then; does nothing where it watches already."""
        post = self._post
        if not post.looking:
            post.looking = True
            post.ask()

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._end()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _end(self) -> None:
        post = self._post
        if post.ended:
            return
        post.ended = True
        if self._thread.is_alive():
            with suppress(OSError):  # it ends just now, by an error of *ring*
                self._stop.send(b"\0")
            post.ask()
        else:  # it could not be started, or this is a forked child: nothing for the parent's thread
            post.close()
        self._stop.close()

    def __del__(self) -> None:
        # No join, and no lock that anybody waits for: a finalizer may run in any thread, in the
        # lookout's too, and the thread may be in *ring*.
        if hasattr(self, "_thread"):  # it was made
            self._end()


class _Post:
    """What the thread has."""

    def __init__(self, descriptor: int, stopped: socket.socket, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._stopped = stopped
        self._selector = selectors.DefaultSelector()
        # Here, not in the thread: it may begin when the descriptor is closed already.
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._selector.register(stopped, selectors.EVENT_READ)
        self._gate = threading.Lock()  # locked unless somebody has asked
        self._gate.acquire()
        self.looking = False  # a plain flag: a look too many is harmless
        self.ended = False

    def ask(self) -> None:
        """Have the thread look. Also from a finalizer: this waits for nobody."""
        with suppress(RuntimeError):  # somebody has asked already
            self._gate.release()

    def run(self) -> None:
        """Look and ring until the end."""
        try:
            while True:
                self._gate.acquire()
                if not self.ended:
                    self._selector.select()
                if self.ended:
                    return
                self.looking = False  # before the bell: its turn may ask for the next look
                self._ring()
        finally:
            self.close()

    def close(self) -> None:
        """Give the descriptors back. In the thread, or where there is none."""
        self._selector.close()
        self._stopped.close()
