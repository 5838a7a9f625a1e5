"""What children print: passed through, or captured line by line.

Owns: in the parent, the read end of one captured stream (`OutputReader`); in the child, where its
standard streams lead (`redirect_output`, `flush_output`, `StandardStreams`).
Threads: a reader belongs to the thread that reads from the child; the rest to the child's own.
Invariant: the parent never blocks on a reader and keeps a bounded part of a line; a child that
prints faster than the parent reads waits, as it does before any full pipe.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("OutputReader", "StandardStreams", "flush_output", "redirect_output")

_CHUNK: Final = 64 * 1024  # bytes of one read: what a pipe holds
_CHUNKS: Final = 16  # reads of one `drain`: nobody else is served meanwhile
_LINE: Final = 8 * 1024  # bytes of one line; a longer one comes in pieces


class OutputReader:
    """Reads one captured stream of a child and gives its lines away. Not thread-safe.

    Args:
        fd: Read end of the pipe; belongs to the reader from now on.
        emit: Called with each line, without its end; must not raise.
        max_bytes: What one job may write; the rest is dropped, with one note. ``None``: no limit.
    """

    __slots__ = ("_emit", "_fd", "_left", "_max_bytes", "_partial", "dropped_bytes", "is_ended")

    def __init__(
        self, fd: int, emit: Callable[[str], object], *, max_bytes: int | None = None
    ) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._emit = emit
        self._max_bytes = max_bytes
        self._left = max_bytes  # of the job that runs
        self._partial = b""  # a line that has no end yet; shorter than _LINE
        self.dropped_bytes = 0  # of all jobs
        self.is_ended = False  # nobody has the write end any more, or the reader was closed

    def fileno(self) -> int:
        """Return the descriptor, for selectors; -1 once it was closed."""
        return self._fd

    def drain(self) -> int:
        """Read what is there, up to 1 MiB; return the number of bytes, 0 for nothing (more)."""
        read = 0
        for _ in range(_CHUNKS):
            if self.is_ended:
                break
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                break
            if not data:
                self._finish_line()
                self.is_ended = True
                break
            read += len(data)
            self._take(data)
        return read

    def end_job(self) -> None:
        """Read what the job that just ended wrote, end its last line, renew what one may write."""
        self.drain()
        self._finish_line()
        self._left = self._max_bytes

    def close(self) -> None:
        """Give up the descriptor. What was not read is lost; may be called twice."""
        if self._fd < 0:
            return
        self._finish_line()
        self.is_ended = True
        os.close(self._fd)
        self._fd = -1

    def _take(self, data: bytes) -> None:
        left = self._left
        if left is None:
            self._split(data)
            return
        if len(data) <= left:
            self._left = left - len(data)
            self._split(data)
            return
        self.dropped_bytes += len(data) - max(left, 0)
        if left < 0:  # the note was given
            return
        self._left = -1
        self._split(data[:left])
        self._finish_line()
        self._emit(f"[output after the first {self._max_bytes} bytes of the job is dropped]")

    def _split(self, data: bytes) -> None:
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = b""
        for line in lines:
            self._give(line)
        while len(rest) >= _LINE:
            cut = _cut_at(rest, _LINE)
            self._give(rest[:cut])
            rest = rest[cut:]
        self._partial = rest

    def _finish_line(self) -> None:
        rest, self._partial = self._partial, b""
        if rest:
            self._give(rest)

    def _give(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        while len(line) > _LINE:
            cut = _cut_at(line, _LINE)
            self._emit(line[:cut].decode("utf-8", "backslashreplace"))
            line = line[cut:]
        self._emit(line.decode("utf-8", "backslashreplace"))


def _cut_at(line: bytes, limit: int) -> int:
    """Return where to cut *line*, at most at *limit*, and not within a character of UTF-8."""
    for cut in range(limit, limit - 4, -1):
        if not b"\x80" <= line[cut : cut + 1] < b"\xc0":  # no continuation of a character
            return cut
    return limit


def redirect_output(output_fd: int, errors_fd: int) -> None:
    """Lead this process's stdout and stderr to these descriptors; -1 leaves one where it is.

    The descriptors are closed. A stream that is led away writes UTF-8, a line at a time.
    """
    for target, fd, stream in ((1, output_fd, sys.stdout), (2, errors_fd, sys.stderr)):
        if fd < 0:
            continue
        _flush(stream)
        # Before the descriptor leads elsewhere: a stream that was opened on a file looks where
        # in that it is, which a pipe cannot tell.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        if fd != target:
            os.dup2(fd, target)  # inheritable, as standard streams are
            os.close(fd)


def flush_output() -> None:
    """Write out what this process has printed; never raises."""
    _flush(sys.stdout)
    _flush(sys.stderr)


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]  # whatever a job put there
    except BaseException:  # noqa: BLE001 - closed, replaced, broken by a job: not our failure
        return


class StandardStreams:
    """Where the three standard descriptors lead, to see whether a job has changed that.

    A job that closes descriptor 1 makes the next file that is opened the standard output of
    all jobs after it: such a child is not to be trusted with another one.
    """

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places = _places()

    def is_intact(self) -> bool:
        """Tell whether the descriptors lead where they did, and the streams can be written to."""
        closed = getattr(sys.stdout, "closed", False) or getattr(sys.stderr, "closed", False)
        return not closed and _places() == self._places


def _places() -> list[tuple[int, int] | None]:
    return [_place(fd) for fd in (0, 1, 2)]


def _place(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
