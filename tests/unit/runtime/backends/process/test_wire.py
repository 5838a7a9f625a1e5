"""Frames: whatever cuts the stream, the same come out; whatever comes, nothing else breaks."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.backends.process import wire
from runtime.backends.process.wire import HEADER, VERSION, Frame, FrameReader, frame, rights
from runtime.errors import ProtocolError
from tests.unit.runtime.backends.process.socket_pairs import let_go, marked_files, pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LIMIT = 1 << 20

some_frame = st.builds(
    frame,
    st.integers(0, 255),
    st.integers(0, (1 << 64) - 1),
    st.binary(max_size=200) | st.integers(65_000, 140_000).map(bytes),
    kind=st.integers(0, 255),
    extra=st.integers(0, (1 << 32) - 1),
)


def taken(reader: FrameReader) -> list[Frame]:
    """Return what *reader* finds in what has come, until nothing is there any more."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while reader.fill():
            found += reader.frames()
    return found


def as_bytes(found: list[Frame]) -> list[bytes]:
    """Return *found* as they were sent."""
    return [
        frame(one.type, one.number, one.payload, kind=one.kind, extra=one.extra) for one in found
    ]


def test_a_frame_arrives_as_it_was_sent() -> None:
    """All of its head, and its payload."""
    with pair() as (ours, theirs):
        reader = FrameReader(ours, LIMIT)
        theirs.sendall(frame(19, (1 << 64) - 1, b"payload", kind=7, extra=(1 << 32) - 1))

        assert reader.fill()
        assert reader.frames() == [Frame(19, 7, (1 << 32) - 1, (1 << 64) - 1, b"payload", ())]
        assert not reader.is_cut()


def test_a_frame_arrives_byte_by_byte() -> None:
    """A stream may be cut anywhere."""
    with pair() as (ours, theirs):
        reader = FrameReader(ours, LIMIT)
        data = frame(1, 2, b"abc") + frame(3, 4)
        found = []
        for index in range(len(data)):
            theirs.sendall(data[index : index + 1])
            reader.fill()
            now = reader.frames()
            found += now
            assert reader.is_cut() is (index not in {26, 50})
            assert bool(now) is (index in {26, 50})

    assert as_bytes(found) == [frame(1, 2, b"abc"), frame(3, 4)]


@pytest.mark.parametrize("size", [65_511, 65_512, 65_513, 65_536, 300_000, LIMIT])
def test_a_frame_that_the_buffer_hardly_holds_or_cannot_hold_arrives(size: int) -> None:
    """It is read in place, and what follows it is not lost."""
    payload = bytes(range(251)) * (size // 251) + bytes(size % 251)
    data = memoryview(frame(1) + frame(2, 3, payload) + frame(4, 5, b"behind"))
    with pair() as (ours, theirs):
        theirs.setblocking(False)
        reader, found = FrameReader(ours, LIMIT), []
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[theirs.send(data) :]
            found += taken(reader)
        found += taken(reader)

    assert [one.type for one in found] == [1, 2, 4]
    assert found[1].payload == payload
    assert not reader.is_cut()


@given(st.lists(some_frame, max_size=6), st.lists(st.integers(1, 150_000), max_size=8))
@example([frame(1, 1, bytes(70_000)), frame(2)], [24 + 70_000, 1])
def test_any_cut_of_any_frames_gives_these_frames(sent: list[bytes], cuts: list[int]) -> None:
    """The one promise of a reader."""
    data = memoryview(b"".join(sent))
    with pair() as (ours, theirs):
        theirs.setblocking(False)
        reader, found, sizes = FrameReader(ours, LIMIT), [], iter(cuts)
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[theirs.send(data[: next(sizes, 150_000)]) :]
            found += taken(reader)

    assert as_bytes(found) == sent
    assert not reader.is_cut()


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda rest: b"\x01" + rest))
def test_random_bytes_are_refused_or_are_frames(data: bytes) -> None:
    """A child may send what it likes: it is told as what it is, and nothing else is raised."""
    with pair() as (ours, theirs):
        theirs.sendall(data)
        reader, found = FrameReader(ours, 1 << 12), []
        with contextlib.suppress(ProtocolError, BlockingIOError):
            while True:
                found += reader.frames()
                if not reader.fill():
                    break
        reader.close()

    assert data.startswith(b"".join(as_bytes(found))) or found


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ((VERSION + 1, 1, 0, 0, 0, 0, 0), "of version 2"),
        ((0, 1, 0, 0, 0, 0, 0), "of version 0"),
        ((VERSION, 1, 0, 0, 0, 0, LIMIT + 1), f"with {LIMIT + 1} byte"),
        ((VERSION, 1, 0, 0, 0, 0, (1 << 64) - 1), "larger max_message_bytes"),
        ((VERSION, 1, 0, 5, 0, 0, 0), r"5 descriptor\(s\) came"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(head: tuple[int, ...], words: str) -> None:
    """Before anything is allocated for it, and again whenever somebody asks."""
    with pair() as (ours, theirs):
        theirs.sendall(HEADER.pack(*head))
        reader = FrameReader(ours, LIMIT)
        reader.fill()

        for _ in range(2):
            with pytest.raises(ProtocolError, match=words):
                reader.frames()


def test_what_came_before_nonsense_is_given_out_first() -> None:
    """The jobs that were answered before it are answered."""
    with pair() as (ours, theirs):
        theirs.sendall(frame(1, 2) + frame(3, 4) + b"\xff" * 24)
        reader = FrameReader(ours, LIMIT)
        reader.fill()

        assert [one.type for one in reader.frames()] == [1, 3]
        assert reader.is_cut()
        with pytest.raises(ProtocolError):
            reader.frames()


@pytest.mark.parametrize("length", [1, 23, 24, 30, 70_000])
def test_a_stream_that_ends_within_a_frame_tells_so(length: int) -> None:
    """A child may die in the middle of a word."""
    with pair() as (ours, theirs):
        theirs.sendall(frame(1, 2, bytes(80_000))[:length])
        theirs.close()
        reader = FrameReader(ours, LIMIT)

        assert taken(reader) == []
        assert reader.is_cut()


def test_room_is_made_for_what_comes_and_not_for_what_is_announced() -> None:
    """A process that lies would have its pool commit all that it lets through, with 24 bytes."""
    huge = 1 << 28
    with pair() as (ours, theirs):
        theirs.sendall(HEADER.pack(VERSION, 1, 0, 0, 0, 1, huge) + bytes(100))
        reader = FrameReader(ours, huge)
        tracemalloc.start()
        try:
            assert taken(reader) == []
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert reader.is_cut()
    assert most < 4 << 20


def test_a_frame_that_needs_more_room_again_and_again_comes_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is behind it stays with the next one."""
    monkeypatch.setattr(wire, "_FIRST", 1 << 16)
    monkeypatch.setattr(wire, "_STEP", 1 << 17)
    payload = random.Random(1).randbytes(700_001)
    data = memoryview(frame(1, 2, payload) + frame(4, 5, b"behind"))
    found = []
    with pair() as (ours, theirs):
        reader = FrameReader(ours, LIMIT)
        while data:
            data = data[theirs.send(data[:50_000]) :]
            found += taken(reader)

    assert as_bytes(found) == [frame(1, 2, payload), frame(4, 5, b"behind")]


# ---- descriptors --------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[FrameReader, socket.socket]]:
    """A reader, and what is written to for it."""
    with pair() as (ours, theirs):
        reader = FrameReader(ours, LIMIT)
        yield reader, theirs
        reader.close()


def test_descriptors_come_with_their_frames(ends: tuple[FrameReader, socket.socket]) -> None:
    """Also where several frames are read at once, between others that bring none."""
    reader, theirs = ends
    with marked_files(3) as fds:
        theirs.sendall(frame(1))
        theirs.sendmsg([frame(2, descriptors=2)], rights((fds[0], fds[1])))
        theirs.sendall(frame(3))
        theirs.sendmsg([frame(4, descriptors=1)], rights((fds[2],)))

        found = taken(reader)

        assert [len(one.descriptors) for one in found] == [0, 2, 0, 1]
        assert not any(os.get_inheritable(fd) for one in found for fd in one.descriptors)
        assert let_go(found) == [0, 1, 2]


def test_descriptors_of_a_frame_that_comes_in_pieces_wait_for_it(
    ends: tuple[FrameReader, socket.socket],
) -> None:
    """They come with its first byte."""
    reader, theirs = ends
    data = frame(2, 1, bytes(100_000), descriptors=1)
    with marked_files(2) as fds:
        sent = theirs.sendmsg([data[:10]], rights((fds[0],)))
        assert taken(reader) == []
        theirs.sendall(data[sent:] + frame(5))
        found = taken(reader)
        theirs.sendmsg([frame(3, descriptors=1)], rights((fds[1],)))
        found += taken(reader)

        assert [one.type for one in found] == [2, 5, 3]
        assert let_go(found) == [0, 1]


def test_a_frame_whose_descriptors_are_not_all_there_has_none(
    ends: tuple[FrameReader, socket.socket],
) -> None:
    """All or none: half of a result's buffers are of no use."""
    reader, theirs = ends
    with marked_files(1) as fds:
        theirs.sendmsg([frame(2, descriptors=2)], rights((fds[0],)))
        theirs.sendall(frame(3, descriptors=1))

        found = taken(reader)

    assert [(one.descriptors, one.lost_descriptors) for one in found] == [((), True)] * 2


def test_a_process_that_may_have_no_more_descriptors_is_told_so() -> None:
    """The kernel drops what it cannot give, and says so; the frame comes all the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pair() as (ours, theirs), marked_files(2) as fds:
        reader = FrameReader(ours, LIMIT)
        theirs.sendmsg([frame(2, 7, descriptors=2)], rights((fds[0], fds[1])))
        theirs.sendmsg([frame(2, 8, descriptors=1)], rights((fds[0],)))
        lowest = os.dup(fds[0])  # the next one that would be given
        os.close(lowest)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))  # room for one
            reader.fill()
            found = reader.frames()
            filler = os.dup(fds[0])
            reader.fill()
            found += reader.frames()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(filler)

    assert [(one.number, one.descriptors, one.lost_descriptors) for one in found] == [
        (7, (), True),
        (8, (), True),
    ]


def test_descriptors_that_nobody_takes_are_closed_with_the_reader(
    ends: tuple[FrameReader, socket.socket],
) -> None:
    """The child died before the rest of its frame came. The leak check counts them."""
    reader, theirs = ends
    with marked_files(1) as fds:
        theirs.sendmsg([frame(2, descriptors=1)[:20]], rights((fds[0],)))
        assert taken(reader) == []


def test_descriptors_that_no_frame_speaks_of_are_refused(
    ends: tuple[FrameReader, socket.socket],
) -> None:
    """Or a child could fill its pool's process with them."""
    reader, theirs = ends

    def pour() -> None:
        for _ in range(10):
            theirs.sendmsg([frame(2)], rights((fds[0],)))
            taken(reader)

    with marked_files(1) as fds, pytest.raises(ProtocolError, match="no frame speaks of"):
        pour()
