"""Anonymous files in memory that can be sealed: made, written, mapped, and how many are held.

A mapping may hold a descriptor as long as it lives; the rest of the program needs some, too. So
at most a share of those that this process may have is used.
Threads: any; what is shared changes by atomic calls.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from typing import Any, Final

from runtime.logs import logger

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment] # there is no such module: `is_supported` says so

__all__ = (
    "AttachmentRefusedError",
    "is_sealed",
    "is_supported",
    "let_go",
    "mapped",
    "new_file",
    "note_held",
    "refused",
    "seal",
    "write_all",
)

_NOEXEC_SEAL: Final = 8  # MFD_NOEXEC_SEAL; some systems refuse a file without it
# From 3.13 on a mapping need not hold a descriptor of its own.
_NEEDS_NO_FD: Final[dict[str, Any]] = (
    {"trackfd": False} if sys.version_info >= (3, 13) else {}
)  # Any: options
_SHARE: Final = 4  # at most one in so many descriptors is held here

# What holds a descriptor: the descriptors of attachments themselves, and weak references to
# mappings. Every change is one atomic call.
_holding: Final[set[object]] = set()
_said: Final[list[bool]] = []


class AttachmentRefusedError(Exception):
    """The system gave no memory, file or descriptor: the buffers have to go with the message."""


def is_supported() -> bool:
    """Tell whether this system has such files."""
    return hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")


def note_held(fd: int) -> None:
    """Count *fd* among the descriptors that are held here."""
    _holding.add(fd)


def let_go(fd: int) -> None:
    """Close *fd*, which was counted."""
    _holding.discard(fd)  # first: the number may be another file's at once
    os.close(fd)


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def seal(fd: int) -> None:
    """Let nobody change the file any more."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _seals())


def is_sealed(fd: int) -> bool:
    """Tell whether nobody can change the file any more.

    Raises:
        OSError: it is no file in memory.
    """
    return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _seals() == _seals()


def new_file() -> int:
    """Return the descriptor of an empty file.

    Raises:
        OSError: the system refuses, or too many are held already.
    """
    if len(_holding) >= _most_descriptors():
        raise OSError(f"{len(_holding)} descriptors are held by attachments already")
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("vela-runtime", flags | _NOEXEC_SEAL)
    except OSError:  # before Linux 6.3, or there is none to be had: the next call tells
        return os.memfd_create("vela-runtime", flags)


def _most_descriptors() -> int:
    """Return how many descriptors may be held here: the program needs the others."""
    import resource  # noqa: PLC0415 - only where there are such files

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // _SHARE


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write all of *data*, of which the system takes at most 2 GiB at a time.

    Raises:
        OSError: the system refuses.
    """
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def mapped(fd: int, size: int) -> mmap.mmap:
    """Return the file as memory of this process alone; what is written there stays there.

    Raises:
        OSError: the system refuses.
    """
    if _NEEDS_NO_FD:
        return mmap.mmap(fd, size, access=mmap.ACCESS_COPY, **_NEEDS_NO_FD)
    if len(_holding) < _most_descriptors():
        mapping = mmap.mmap(fd, size, access=mmap.ACCESS_COPY)
        _holding.add(weakref.ref(mapping, _holding.discard))
        return mapping
    # Before 3.13 a mapping holds a descriptor for as long as it lives: a program that keeps
    # thousands of arrays would run out of them. From some number on, one more copy is cheaper.
    copy = mmap.mmap(-1, size)
    with memoryview(copy) as view:
        done = 0
        while done < size:
            done += os.preadv(fd, [view[done:]], done) or size
    return copy


def refused(error: OSError) -> AttachmentRefusedError:
    """Return the error to raise for *error*; say once that large buffers go another way."""
    if not _said:
        _said.append(True)
        logger(__name__).warning(
            "large buffers cannot travel through shared memory (%s): they go over the socket, "
            "which copies them more often; it is tried again for each job",
            error,
        )
    return AttachmentRefusedError(str(error))
