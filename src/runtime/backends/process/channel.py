"""The child's end of its socket.

Threads: the main thread reads; any thread may send (it may log), as `outbox` tells: a signal
handler that sends in the middle of a write only lines up, and one that raises there (a job may have
its own) neither cuts a frame nor loses one: the next who sends goes on where that one stopped.
Source: process-wire-spec.md, section 3; ADR-009.
"""

from __future__ import annotations

from errno import EPIPE
from typing import TYPE_CHECKING

from runtime.backends.process.outbox import Outbox
from runtime.backends.process.wire import FrameReader, frame

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
        self._outbox = Outbox(sock, _nothing)
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
        outbox = self._outbox
        outbox.put((data, descriptors, None))
        outbox.flush()
        if descriptors:  # the caller closes them: not before they are on their way
            outbox.finish()
        if outbox.is_closed:
            raise BrokenPipeError(EPIPE, "the pool is gone, or a job has closed its descriptor")

    def disown(self) -> None:
        """In a process that a job forked: from now on nothing is sent or read."""
        self._is_ours = False
        self._sock.close()


def _nothing() -> None:
    """A socket that blocks is never full."""
