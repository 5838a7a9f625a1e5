"""A lent thread that watches one descriptor, for a host that cannot.

It looks once for each time that it is asked, and sleeps on a lock between: no CPU while idle.
Threads: one, from the first `Lookout.look` to `Lookout.close`; those two in the host's thread.
Source: interop-spec.md, section 3.3; ADR-012.
"""

from __future__ import annotations

import selectors
import socket
import threading
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Lookout",)


@final
class Lookout:
    """Calls *ring* when *descriptor* is readable, once for each `look`.

    Args:
        descriptor: What to watch.
        ring: Called in the lookout's thread.
    """

    def __init__(self, descriptor: int, ring: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._ring = ring
        self._asked = threading.Event()
        self._looking = False  # a plain flag: a look too many is harmless
        self._ended = False
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="vela-lookout", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Watch until it is readable, and ring then; does nothing where it watches already."""
        if not self._looking:
            self._looking = True
            self._asked.set()

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._stop.send(b"\0")
        self._asked.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._stop.close()
        self._stopped.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while True:
                self._asked.wait()
                self._asked.clear()
                if not self._ended:
                    selector.select()
                if self._ended:
                    return
                self._looking = False  # before the bell: its turn may ask for the next look
                self._ring()
