"""Two ends of a socket, and files with marks, for the tests of what goes between processes."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.backends.process.wire import Frame

__all__ = ("let_go", "marked_files", "pair", "read_mark")


@contextlib.contextmanager
def pair(*, blocking: bool = False) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, closed at the end; the first one does not block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        ours.setblocking(blocking)
        theirs.settimeout(10)
        yield ours, theirs


@contextlib.contextmanager
def marked_files(count: int) -> Iterator[list[int]]:
    """Descriptors of *count* files; each one holds its index."""
    with contextlib.ExitStack() as opened:
        fds = []
        for index in range(count):
            fd = os.memfd_create("mark")
            opened.callback(os.close, fd)
            os.pwrite(fd, bytes([index]), 0)
            fds.append(fd)
        yield fds


def read_mark(fd: int) -> int:
    """Return the index that the file behind *fd* holds."""
    return os.pread(fd, 1, 0)[0]


def let_go(frames: list[Frame]) -> list[int]:
    """Close what came with *frames*; return the marks."""
    marks = []
    for frame in frames:
        for fd in frame.descriptors:
            marks.append(read_mark(fd))
            os.close(fd)
    return marks
