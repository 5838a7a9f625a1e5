"""The child's end of its socket.

Threads: the main thread reads; any thread may send (it may log). A frame goes out whole: whoever
finds nobody writing writes what waits, also what others put there meanwhile, and looks
again after it has stopped; a signal handler that sends in the middle of a write only lines up.
Source: process-wire-spec.md, section 3; ADR-009.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from runtime.backends.process.wire import FrameReader, frame, rights

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from runtime.backends.process.wire import Frame

__all__ = ("Channel",)


class Channel:
    """Frames to and from the pool. See the module.

    Args:
        sock: The child's end of the socket pair; blocking.
        limit: The longest frame that is accepted, in bytes.
    """

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self._sock = sock
        self._reader = FrameReader(sock, limit)
        self.frames: Callable[[], list[Frame]] = self._reader.frames
        self.fill: Callable[[], bool] = self._reader.fill
        self._parts: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._gate = threading.Lock()  # whoever has it writes
        self._is_ours = True  # False in a process that a job forked

    def send(
        self,
        type_of_frame: int,
        number: int = 0,
        payload: bytes | bytearray = b"",
        *,
        kind: int = 0,
        extra: int = 0,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        """Send a frame, waiting until the socket takes it.

        Raises:
            OSError: the pool is gone, or the descriptor was closed.
        """
        if not self._is_ours:
            return
        data = frame(
            type_of_frame, number, payload, kind=kind, extra=extra, descriptors=len(descriptors)
        )
        parts, gate = self._parts, self._gate
        parts.append((data, descriptors))
        while parts and gate.acquire(blocking=False):
            try:
                self._write()
            finally:
                gate.release()

    def _write(self) -> None:
        sock, parts = self._sock, self._parts
        while parts:
            data, descriptors = parts.popleft()
            if not descriptors:
                sock.sendall(data)
                continue
            sent = sock.sendmsg([data], rights(descriptors))
            if sent < len(data):
                sock.sendall(memoryview(data)[sent:])

    def disown(self) -> None:
        """In a process that a job forked: from now on nothing is sent or read."""
        self._is_ours = False
        self._sock.close()
