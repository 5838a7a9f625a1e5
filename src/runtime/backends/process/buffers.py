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
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, final

from runtime.backends.process.sealed_files import (
    is_sealed,
    let_go,
    mapped,
    new_file,
    note_held,
    refused,
    seal,
    write_all,
)
from runtime.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pickle import PickleBuffer

__all__ = ("BUFFER", "Attachment", "AttachmentWriter", "Contents")

BUFFER: Final = (1 << 64) - 1  # instead of a place: the section is a buffer of its own
_ALIGN: Final = 64  # what vector instructions like
_ENTRY: Final = Struct("<QQ")
_FOOT: Final = Struct("<Q8s")
_MARK: Final = b"vela-att"
_PIECE: Final = 1 << 20  # bytes that are read at a time
_MAX_SECTIONS: Final = 1 << 20


class Contents(NamedTuple):
    """What is in an attachment; the views keep the memory."""

    buffers: list[memoryview]
    splices: list[tuple[int, memoryview]]  # (place in the stream, what belongs there)


@final
class Attachment:
    """A sealed file with buffers. Whoever has it closes it, or opens it, which closes it too.

    Where no descriptor can be passed on, its bytes can: `read` and `from_bytes`.

    Args:
        fd: Its descriptor, which belongs to this object from here on.
        size: Its size in bytes.
    """

    __slots__ = ("_data", "_fds", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fds = [fd] if fd >= 0 else []
        self._data: bytearray | None = None  # instead of a file
        self.size = size
        if fd >= 0:
            note_held(fd)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Attachment:
        """Return the attachment whose `read` gave *data*: its views share a copy of that."""
        attachment = cls(-1, len(data))
        attachment._data = bytearray(data)
        return attachment

    @classmethod
    def from_fd(cls, fd: int) -> Attachment:
        """Return the attachment that came as *fd*; where this raises, *fd* is closed.

        Raises:
            ProtocolError: it could still be changed, or cut under the feet of who reads it.
        """
        try:
            is_safe, size = is_sealed(fd), os.fstat(fd).st_size
        except OSError as error:
            os.close(fd)
            raise ProtocolError(f"an attachment came that is no file in memory: {error}") from None
        if not is_safe:
            os.close(fd)
            raise ProtocolError("an attachment came that is not sealed")
        return cls(fd, size)

    def fileno(self) -> int:
        """Return the descriptor, to be sent; -1 where it is closed."""
        return self._fds[0] if self._fds else -1

    def read(self) -> bytes:
        """Return all of it; it stays open."""
        parts: list[bytes] = []
        done = 0
        while done < self.size and (part := os.pread(self.fileno(), self.size - done, done)):
            parts.append(part)
            done += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self) -> Iterator[bytes]:
        """Give all of it, piece by piece; it stays open. Nothing more where it is closed."""
        done = 0
        while done < self.size and (fd := self.fileno()) >= 0:
            part = os.pread(fd, _PIECE, done)
            if not part:
                return
            yield part
            done += len(part)

    def open(self) -> Contents:
        """Map the file and close the descriptor.

        Raises:
            ProtocolError: it is not laid out as it should be, or it is closed.
            OSError: the system has no memory or no descriptor to map it.
        """
        data, self._data = self._data, None
        fd = self.fileno()
        if fd < 0 and data is None:
            raise ProtocolError("an attachment was opened that is closed")
        try:
            if self.size < _FOOT.size:
                raise ProtocolError(f"an attachment is too short: {self.size} byte(s)")
            return _contents(memoryview(mapped(fd, self.size) if data is None else data))
        finally:
            self.close()

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""
        self._data = None
        try:
            fd = self._fds.pop()
        except IndexError:
            return
        let_go(fd)

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

    def add(self, data: bytes | bytearray | memoryview | PickleBuffer, place: int = BUFFER) -> None:
        """Write one section.

        Args:
            data: Contiguous; not used any more when this returns.
            place: Where it belongs in the stream.

        Raises:
            AttachmentRefusedError: the system refused.
        """
        try:
            if not self._fds:
                self._fds.append(new_file())
            with memoryview(data) as view, view.cast("B") as raw:
                write_all(self._fds[0], raw, self._end)
                self._sections.append((place, raw.nbytes))
                self._end += -(-raw.nbytes // _ALIGN) * _ALIGN
        except OSError as error:
            self.close()
            raise refused(error) from error

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
            write_all(fd, memoryview(table), self._end)
            os.ftruncate(fd, size)  # a longer attempt may have been taken back
            seal(fd)
        except OSError as error:
            self.close()
            raise refused(error) from error
        return Attachment(self._fds.pop(), size)

    def close(self) -> None:
        """Drop what was written. May be called twice, and after `finish`."""
        while self._fds:
            os.close(self._fds.pop())


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
