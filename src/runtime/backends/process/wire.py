"""What goes over the socket between a pool and a child: frames.

A frame is a header of 24 bytes and a payload. The header says the version, the type of the frame,
a kind (by type), how many descriptors came with its first byte, an extra number (by type),
the number of the job, and the length of the payload. Nothing in it is trusted before a check.
Threads: none; a reader belongs to one thread.
Source: process-wire-spec.md, sections 1 to 3; ADR-009.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from struct import Struct
from typing import Final, NamedTuple

from runtime.errors import ProtocolError

__all__ = (
    "HEADER",
    "MAX_DESCRIPTORS",
    "NO_SIGNAL",
    "VERSION",
    "Frame",
    "FrameReader",
    "FrameType",
    "frame",
    "rights",
    "without_descriptors",
)

VERSION: Final = 1
HEADER: Final = Struct("<BBBBIQQ")
MAX_DESCRIPTORS: Final = 4  # of one frame
_GROUPS: Final = 2  # of descriptors: of the frame that a read completes, and of the next one
_BUFFER: Final = 1 << 16  # what one read takes at most, unless a frame is larger
_FIRST: Final = 1 << 20  # bytes that a large frame is given room for when it begins to come
_STEP: Final = 1 << 26  # and each time that the room is full, as much as has come, up to this
_SIZE: Final = HEADER.size
_SPACE: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CLOSE_ON_EXEC: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
# A child that is gone is an error of the call, whatever the program has settled for SIGPIPE.
NO_SIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))
_CUT: Final = int(socket.MSG_CTRUNC)  # plain ints: the module's own are an enumeration


class FrameType:
    """The types of frames, as plain ints: they are compared for every job."""

    # to the child
    PLAN: Final = 1  # the first one: how to be (a pickle of plain data)
    JOB: Final = 2
    LEAVE: Final = 3  # end when this is read: nothing more comes
    # from the child
    HELLO: Final = 16  # number: its process id
    READY: Final = 17  # the initializer has returned
    UNFIT: Final = 18  # the initializer has raised; payload: the error
    VALUE: Final = 19  # a job's result; kind: how it is packed; extra: run time in microseconds
    ERROR: Final = 20  # a job's error; extra as above
    SKIPPED: Final = 21  # a job that was taken back at the last moment
    PROGRESS: Final = 22  # what a job reports of itself
    LOG: Final = 23  # a record of the `logging` module
    BARE: Final = 24  # a job came without its descriptors: send it again without any


class Frame(NamedTuple):
    """One frame, as it was read. Whoever takes it owns the descriptors."""

    type: int
    kind: int
    extra: int
    number: int
    payload: bytes | bytearray
    descriptors: tuple[int, ...]
    lost_descriptors: bool = False  # some should have come, and this process may have no more


def frame(
    type_of_frame: int,
    number: int = 0,
    payload: bytes | bytearray = b"",
    *,
    kind: int = 0,
    extra: int = 0,
    descriptors: int = 0,
) -> bytes:
    """Return the bytes of one frame."""
    return (
        HEADER.pack(VERSION, type_of_frame, kind, descriptors, extra, number, len(payload))
        + payload
    )


def rights(descriptors: tuple[int, ...]) -> list[tuple[int, int, array.array[int]]]:
    """Return the ancillary data that passes *descriptors* on."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]


def without_descriptors(data: memoryview) -> bytes:
    """Return the frame *data* as one that brings none."""
    version, type_of_frame, kind, _, *rest = HEADER.unpack_from(data)
    return HEADER.pack(version, type_of_frame, kind, 0, *rest) + data[HEADER.size :]


class FrameReader:
    """Takes frames off a stream socket, however it cuts them. For one thread.

    Args:
        sock: A connected ``AF_UNIX`` stream socket; blocking or not.
        limit: The longest payload that is accepted, in bytes.
    """

    __slots__ = ("_buffer", "_end", "_groups", "_head", "_large", "_limit", "_sock", "_start",
                 "_took")  # fmt: skip

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self._sock = sock
        self._limit = limit
        self._buffer = bytearray(_BUFFER)
        self._start = self._end = 0  # what of the buffer is not yet read
        # The payload of a frame that the buffer cannot hold, as far as there is room for it.
        self._large: bytearray | None = None
        self._head: tuple[int, ...] = ()
        self._took = 0  # how much of that has come
        # The descriptors of frames that are not complete. A read ends behind the bytes that
        # descriptors came with, so a group is what one frame brought, or what was left of it.
        self._groups: deque[tuple[int, ...]] = deque()

    def fill(self) -> bool:
        """Read once; False at the end of the stream.

        Raises:
            BlockingIOError: nothing is there, and the socket does not block.
            ProtocolError: descriptors come that no frame speaks of.
            OSError: the connection broke.
        """
        large = self._large
        if large is None:
            if self._start:  # a few bytes of an incomplete frame at most
                rest = self._buffer[self._start : self._end]
                self._buffer[: len(rest)] = rest
                self._start, self._end = 0, len(rest)
            view = memoryview(self._buffer)[self._end :]
        else:
            if self._took == len(large):
                large += bytes(min(len(large), _STEP, self._head[6] - len(large)))
            view = memoryview(large)[self._took :]
        with view:
            count, ancillary, flags, _ = self._sock.recvmsg_into([view], _SPACE, _CLOSE_ON_EXEC)
        if ancillary or flags & _CUT:
            self._groups.append(_descriptors(ancillary))
            if len(self._groups) > _GROUPS:
                raise ProtocolError("descriptors came that no frame speaks of")
        if large is None:
            self._end += count
        else:
            self._took += count
        return count > 0

    def frames(self) -> list[Frame]:
        """Return the frames that are complete, in order.

        Raises:
            ProtocolError: what came is no frame, is of another version, or is too long.
        """
        found: list[Frame] = []
        if self._large is not None:
            if self._took < self._head[6]:
                return found
            whole, self._large = self._large, None
            found.append(self._made(self._head, whole))
        buffer, start, end = self._buffer, self._start, self._end
        while end - start >= _SIZE:
            head = HEADER.unpack_from(buffer, start)
            length = head[6]
            if head[0] != VERSION or length > self._limit or head[3] > MAX_DESCRIPTORS:
                self._refuse(head, found)
                break
            stop = start + _SIZE + length
            if stop <= end:
                if head[3]:
                    found.append(self._made(head, buffer[start + _SIZE : stop]))
                else:  # as `_made`
                    _, type_of_frame, kind, _, extra, number, _ = head
                    payload = buffer[start + _SIZE : stop] if length else b""
                    found.append(Frame(type_of_frame, kind, extra, number, payload, ()))
                start = stop
                continue
            if _SIZE + length > _BUFFER:  # it will never fit: the rest is read in place
                # Invariant: room is made for what comes, and not for what a header announces.
                self._head, self._large = head, bytearray(min(length, _FIRST))
                self._took = end - start - _SIZE
                self._large[: self._took] = buffer[start + _SIZE : end]
                start = end
            break
        self._start, self._end = (start, end) if start < end else (0, 0)
        return found

    def _made(self, head: tuple[int, ...], payload: bytearray) -> Frame:
        _, type_of_frame, kind, count, extra, number, _ = head
        if not count:
            return Frame(type_of_frame, kind, extra, number, payload, ())
        descriptors = self._groups.popleft() if self._groups else ()
        if len(descriptors) == count:
            return Frame(type_of_frame, kind, extra, number, payload, descriptors)
        _close(descriptors)  # all or none
        return Frame(type_of_frame, kind, extra, number, payload, (), lost_descriptors=True)

    def _refuse(self, head: tuple[int, ...], found: list[Frame]) -> None:
        """Raise, unless frames came before this one: those first, and the next call raises."""
        if found:
            return
        raise ProtocolError(
            f"a frame of version {head[0]}, type {head[1]}, with {head[6]} byte(s) and {head[3]} "
            f"descriptor(s) came; this side speaks version {VERSION} and takes at most "
            f"{self._limit} byte(s) and {MAX_DESCRIPTORS} descriptor(s): use the same version of "
            "the package on both sides, or a larger max_message_bytes"
        )

    def is_cut(self) -> bool:
        """Tell whether a frame has begun to come and is not complete."""
        return self._large is not None or self._end > self._start

    def close(self) -> None:
        """Close the descriptors that came and that nobody took. The socket is the caller's."""
        while self._groups:
            _close(self._groups.popleft())


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """Return the descriptors that came with one read."""
    came = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            came.frombytes(data[: len(data) - len(data) % came.itemsize])
    if not _CLOSE_ON_EXEC:  # pragma: no cover - Linux does it in one step
        for fd in came:
            os.set_inheritable(fd, False)
    return tuple(came)


def _close(descriptors: tuple[int, ...]) -> None:
    for fd in descriptors:
        os.close(fd)
