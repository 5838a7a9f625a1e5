"""What children print, read by the parent line by line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.output import OutputReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 8 * 1024  # bytes of one line


class Pipe:
    """A pipe with a reader at its end."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self.lines: list[str] = []
        read_end, self._write_end = os.pipe()
        self.reader = OutputReader(read_end, self.lines.append, max_bytes=max_bytes)

    def write(self, data: bytes) -> int:
        """Write *data*, and let the reader read; return what it said."""
        assert os.write(self._write_end, data) == len(data)
        return self.reader.drain()

    def hang_up(self) -> None:
        """Close the write end; may be called twice."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    pipes: list[Pipe] = []

    def make(max_bytes: int | None = None) -> Pipe:
        pipes.append(Pipe(max_bytes))
        return pipes[-1]

    yield make
    for pipe in pipes:
        pipe.reader.close()
        pipe.hang_up()


@pytest.fixture
def pipe(make_pipe: Callable[..., Pipe]) -> Pipe:
    return make_pipe()


def test_lines_come_as_they_are_complete(pipe: Pipe) -> None:
    """The rest waits for its end."""
    assert pipe.write(b"one\ntwo\nth") == 10
    assert pipe.lines == ["one", "two"]

    pipe.write(b"ree\n\n")
    assert pipe.lines == ["one", "two", "three", ""]


def test_nothing_there_is_nothing_read(pipe: Pipe) -> None:
    """A reader never blocks the thread that serves all children."""
    assert pipe.reader.drain() == 0
    assert not pipe.reader.is_ended


def test_the_last_line_may_have_no_end(pipe: Pipe) -> None:
    """A child that dies in the middle of one has printed it all the same."""
    pipe.write(b"dying wor")
    pipe.hang_up()

    assert pipe.reader.drain() == 0
    assert pipe.reader.is_ended
    assert pipe.lines == ["dying wor"]
    assert pipe.reader.drain() == 0
    assert pipe.lines == ["dying wor"]


def test_the_end_of_a_job_ends_its_last_line(pipe: Pipe) -> None:
    """The next job's output must not be glued to it, nor what was not read yet be lost."""
    pipe.write(b"job 1")
    os.write(pipe._write_end, b" and more")
    pipe.reader.end_job()
    pipe.write(b"job 2\n")
    pipe.reader.end_job()

    assert pipe.lines == ["job 1 and more", "job 2"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Größe: 🦀\n".encode(), "Größe: 🦀"),
        (b"a\xffb\xc3\n", "a\\xffb\\xc3"),
        (b"\x00\n", "\x00"),
        (b"windows\r\n", "windows"),
        (b"10%\r20%\r30%\n", "10%\r20%\r30%"),
    ],
)
def test_any_bytes_make_a_line(data: bytes, text: str, pipe: Pipe) -> None:
    """A job may print what it likes."""
    pipe.write(data)

    assert pipe.lines == [text]


def test_a_character_in_two_reads_is_one(pipe: Pipe) -> None:
    """Lines are decoded, not reads."""
    crab = "🦀".encode()
    pipe.write(crab[:2])
    pipe.write(crab[2:] + b"\n")

    assert pipe.lines == ["🦀"]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_without_end_comes_in_pieces(end: bytes, pipe: Pipe) -> None:
    """Or it would grow for ever in the parent's memory."""
    pipe.write(b"x" * (2 * LIMIT + 5) + end)
    pipe.reader.end_job()

    assert [len(line) for line in pipe.lines] == [LIMIT, LIMIT, 5]


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_pieces_are_cut_between_characters(shift: int, end: bytes, pipe: Pipe) -> None:
    """No piece ends in half a letter."""
    text = "x" * shift + "🦀" * (LIMIT // 2)
    pipe.write(text.encode() + end)
    pipe.reader.end_job()

    assert "".join(pipe.lines) == text
    assert all(len(line.encode()) <= LIMIT for line in pipe.lines)


def test_bytes_that_are_no_text_are_cut_anywhere(pipe: Pipe) -> None:
    """There is no better place."""
    pipe.write(b"\x80" * (LIMIT + 1))
    pipe.reader.end_job()

    assert pipe.lines == ["\\x80" * LIMIT, "\\x80"]


def test_what_a_job_prints_beyond_its_limit_is_dropped_with_one_note(
    make_pipe: Callable[..., Pipe],
) -> None:
    """A flood must not fill the log; the next job may speak again."""
    pipe = make_pipe(max_bytes=10)
    pipe.write(b"12345\n")
    pipe.write(b"1234567\n")
    pipe.write(b"more\nmore\n")

    note = "[output after the first 10 bytes of the job is dropped]"
    assert pipe.lines == ["12345", "1234", note]
    assert pipe.reader.dropped_bytes == 4 + 10

    pipe.reader.end_job()
    pipe.write(b"again\n")
    assert pipe.lines[3:] == ["again"]


def test_exactly_the_limit_is_not_beyond_it(make_pipe: Callable[..., Pipe]) -> None:
    """No note where nothing was dropped."""
    pipe = make_pipe(max_bytes=4)
    pipe.write(b"123\n")
    assert pipe.lines == ["123"]

    pipe.write(b"4")
    assert len(pipe.lines) == 2
    assert pipe.reader.dropped_bytes == 1


def test_a_flood_does_not_keep_the_reader_busy_for_ever(pipe: Pipe) -> None:
    """After so much, the other children have their turn."""
    data = b"x" * 1023 + b"\n"
    write = pipe._write_end
    os.set_blocking(write, False)

    class Endless:
        count = 0

        def __call__(self, _line: str) -> None:
            self.count += 1
            os.write(write, data)  # as fast as it is read

    for _ in range(32):
        os.write(write, data)
    pipe.reader._emit = Endless()

    assert 0 < pipe.reader.drain() <= 1024 * 1024


def test_closing_gives_the_begun_line_and_the_descriptor_back(pipe: Pipe) -> None:
    """It may be done twice."""
    pipe.write(b"begun")
    fd = pipe.reader.fileno()

    pipe.reader.close()
    pipe.reader.close()

    assert pipe.lines == ["begun"]
    assert pipe.reader.fileno() == -1
    assert pipe.reader.is_ended
    assert pipe.reader.drain() == 0
    pipe.reader.end_job()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
