"""The page that a pool shares with one child: who has begun what, readable whatever the child does.

Words: eight bytes each, on cache lines of their own, and each has one writer.
Invariant: the two sides agree on every job that was sent and not begun. To take back, the pool
writes `REVOKED`, then reads `STARTED`; to begin, the child writes `STARTED`, then reads
`REVOKED`; with a fence between the two steps, at least one of them sees the other. Where both do,
the child does not begin the job and says so, and the pool waits for that.
Threads: the pool writes under its lock; the child's one thread writes the rest.
Source: process-wire-spec.md, section 4; ADR-009.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from typing import Final

__all__ = (
    "CANCELLED",
    "FAULTS_OFFSET",
    "FINISHED",
    "REVOKED",
    "SKIPPED",
    "STARTED",
    "Page",
    "fence",
    "new_page_file",
)

_LINE: Final = 8  # words of a cache line

# Written by the child:
STARTED: Final = 0  # the number of the last job that it began
FINISHED: Final = 1 * _LINE  # the number of the last job whose function has ended
SKIPPED: Final = 2 * _LINE  # the number of the last job that it began to begin, and did not
# Written by the pool:
REVOKED: Final = 3 * _LINE  # jobs up to this number that have not begun must not begin
CANCELLED: Final = 4 * _LINE  # the number of the job that should stop

PAGE_SIZE: Final = 4096
FAULTS_OFFSET: Final = PAGE_SIZE  # from here on: what `faulthandler` writes when the child dies

_fence = threading.Lock()


def fence() -> None:
    """Order every store before this call ahead of every load after it.

    Taking a lock is an atomic read-modify-write: a full barrier for the processor.
    """
    with _fence:
        pass


def new_page_file() -> int:
    """Return the descriptor of a new page: zeros, without a name, closed in programs it starts.

    Raises:
        OSError: no descriptor or no memory is to be had.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("vela-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:  # pragma: no cover - Linux has it
        import tempfile  # noqa: PLC0415 - it is dear to load, and not needed on Linux

        with tempfile.TemporaryFile() as file:  # it has no name from the start
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, PAGE_SIZE)
        if hasattr(fcntl, "F_ADD_SEALS"):
            # Nobody can cut it under the feet of the other, who would die of SIGBUS. It may grow.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Page:
    """One side's view of the page behind *fd*, which stays the caller's.

    ``words`` is an array of 64-bit numbers; index it with the names of this module.
    """

    __slots__ = ("_map", "words")

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_SIZE)
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Give the mapping back. May be called twice; ``words`` cannot be used any more."""
        self.words.release()
        self._map.close()
