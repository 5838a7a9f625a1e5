"""Large buffers that travel beside a message: in one sealed, anonymous file in memory.

The sender writes each buffer into the file once (`AttachmentWriter`), seals it, so that nobody can
change or shrink it any more, and passes its descriptor on. The receiver maps it privately
(`Attachment.open`): nothing is copied, and what is written to a page is written to a copy
of that page. The memory is the system's again when the last view and the last descriptor are gone,
also where a process is killed.

Layout: the sections, each at a multiple of 64 bytes; then two u64 for each of them (where it
belongs, and its length); then how many there are, and a mark. A section belongs to a place in
a stream of pickle, or is a buffer of protocol 5.
Threads: a writer belongs to one thread; an attachment may be closed by any.
Source: process-wire-spec.md, section "Attachments"; ADR-009.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, final

from runtime.errors import ProtocolError
from runtime.logs import logger

if TYPE_CHECKING:
    from pickle import PickleBuffer

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment] # there is no such module: `is_supported` says so

__all__ = ("Attachment", "AttachmentRefusedError", "AttachmentWriter", "Contents", "is_supported")

BUFFER: Final = (1 << 64) - 1  # instead of a place: the section is a buffer of its own
_ALIGN: Final = 64  # what vector instructions like
_ENTRY: Final = Struct("<QQ")
_FOOT: Final = Struct("<Q8s")
_MARK: Final = b"vela-att"
_MAX_SECTIONS: Final = 1 << 20
_NOEXEC_SEAL: Final = 8  # MFD_NOEXEC_SEAL; some systems refuse a file without it
_SHARE: Final = 4  # at most one in so many descriptors is held here
_TRACKS_FD: Final = sys.version_info < (3, 13)  # each mapping holds a descriptor of its own

# What holds a descriptor: the descriptors of attachments themselves, and weak references to
# mappings. Every change is one atomic call.
_holding: Final[set[object]] = set()


class AttachmentRefusedError(Exception):
    """The system gave no memory, file or descriptor: the buffers have to go with the message."""


class Contents(NamedTuple):
    """What is in an attachment; the views keep the memory."""

    buffers: list[memoryview]
    splices: list[tuple[int, memoryview]]  # (place in the stream, what belongs there)


def is_supported() -> bool:
    """Tell whether this system has such files."""
    return hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")


@final
class Attachment:
    """A sealed file with buffers. Whoever has it closes it, or opens it, which closes it too.

    Args:
        fd: Its descriptor, which belongs to this object from here on.
        size: Its size in bytes.
    """

    __slots__ = ("_fds", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fds = [fd]
        self.size = size
        _holding.add(fd)

    @classmethod
    def from_fd(cls, fd: int) -> Attachment:
        """Return the attachment that came as *fd*; where this raises, *fd* is closed.

        Raises:
            ProtocolError: it could still be changed, or cut under the feet of who reads it.
        """
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            size = os.fstat(fd).st_size
        except OSError as error:
            os.close(fd)
            raise ProtocolError(f"an attachment came that is no file in memory: {error}") from None
        if seals & _seals() != _seals():
            os.close(fd)
            raise ProtocolError(f"an attachment came that is not sealed (seals {seals:#x})")
        return cls(fd, size)

    def fileno(self) -> int:
        """Return the descriptor, to be sent; -1 where it is closed."""
        return self._fds[0] if self._fds else -1

    def open(self) -> Contents:
        """Map the file and close the descriptor.

        Raises:
            ProtocolError: it is not laid out as it should be, or it is closed.
            OSError: the system has no memory or no descriptor to map it.
        """
        if not self._fds:
            raise ProtocolError("an attachment was opened twice")
        try:
            if self.size < _FOOT.size:
                raise ProtocolError(f"an attachment is too short: {self.size} byte(s)")
            return _contents(memoryview(_mapped(self._fds[0], self.size)))
        finally:
            self.close()

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""
        try:
            fd = self._fds.pop()
        except IndexError:
            return
        _holding.discard(fd)
        os.close(fd)

    def __del__(self) -> None:
        """Close what nobody wants any more: a job that was cancelled before it was sent."""
        self.close()

    def __repr__(self) -> str:
        return f"<Attachment of {self.size} bytes, descriptor {self.fileno()}>"


@final
class AttachmentWriter:
    """Fills a file, which is made when the first section comes."""

    __slots__ = ("_end", "_fds", "_sections")

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._end = 0
        self._sections: list[tuple[int, int]] = []

    def add(self, data: bytes | memoryview | PickleBuffer, place: int = BUFFER) -> None:
        """Write one section.

        Args:
            data: Contiguous; not used any more when this returns.
            place: Where it belongs in the stream.

        Raises:
            AttachmentRefusedError: the system refused.
        """
        try:
            if not self._fds:
                self._fds.append(_new_file())
            with memoryview(data) as view, view.cast("B") as raw:
                _write(self._fds[0], raw, self._end)
                self._sections.append((place, raw.nbytes))
                self._end += -(-raw.nbytes // _ALIGN) * _ALIGN
        except OSError as error:
            self._refuse(error)

    def mark(self) -> tuple[int, int]:
        """Return what `rewind` takes to come back to this moment."""
        return len(self._sections), self._end

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget all sections since *mark*."""
        count, self._end = mark
        del self._sections[count:]

    def finish(self) -> Attachment | None:
        """Seal the file and return it; None where there are no sections.

        Raises:
            AttachmentRefusedError: the system refused.
        """
        if not self._sections:
            self.close()
            return None
        table = b"".join([_ENTRY.pack(*section) for section in self._sections])
        table += _FOOT.pack(len(self._sections), _MARK)
        size, fd = self._end + len(table), self._fds[0]
        try:
            _write(fd, memoryview(table), self._end)
            os.ftruncate(fd, size)  # a longer attempt may have been taken back
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _seals())
        except OSError as error:
            self._refuse(error)
        return Attachment(self._fds.pop(), size)

    def close(self) -> None:
        """Drop what was written. May be called twice, and after `finish`."""
        while self._fds:
            os.close(self._fds.pop())

    def _refuse(self, error: OSError) -> None:
        self.close()
        _say_once(error)
        raise AttachmentRefusedError(str(error)) from error


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def _new_file() -> int:
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


def _write(fd: int, data: memoryview, offset: int) -> None:
    """Write all of *data*; one call writes at most 2 GiB."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def _mapped(fd: int, size: int) -> mmap.mmap:
    """Return the file as memory of this process alone."""
    if not _TRACKS_FD:
        return mmap.mmap(fd, size, access=mmap.ACCESS_COPY, trackfd=False)
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


def _contents(view: memoryview) -> Contents:
    """Return what the mapped file *view* holds.

    Raises:
        ProtocolError: it is not laid out as it should be.
    """
    count, mark = _FOOT.unpack_from(view, len(view) - _FOOT.size)
    table = len(view) - _FOOT.size - count * _ENTRY.size
    if mark != _MARK or count > _MAX_SECTIONS or table < 0:
        raise ProtocolError(f"an attachment of {len(view)} bytes has no table")
    contents, start, last = Contents([], []), 0, 0
    for place, size in _ENTRY.iter_unpack(view[table : table + count * _ENTRY.size]):
        if size > table - start or (place != BUFFER and place < last):
            raise ProtocolError(f"an attachment of {len(view)} bytes has a wrong table")
        section = view[start : start + size]
        start += -(-size // _ALIGN) * _ALIGN
        if place == BUFFER:
            contents.buffers.append(section)
        else:
            contents.splices.append((place, section))
            last = place
    if start != table:
        raise ProtocolError(f"an attachment of {len(view)} bytes has a wrong table")
    return contents


_said: Final[list[bool]] = []


def _say_once(error: OSError) -> None:
    """Log that large buffers go another way, the first time."""
    if not _said:
        _said.append(True)
        logger(__name__).warning(
            "large buffers cannot travel through shared memory (%s): they go over the socket, "
            "which copies them more often; it is tried again for each job",
            error,
        )
