"""The way to a child: in order, each frame once, whoever writes and whatever comes between."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import outbox as module
from runtime.backends.process.outbox import Outbox
from runtime.backends.process.wire import Frame, FrameReader, frame
from tests.unit.runtime.backends.process.socket_pairs import let_go, marked_files, pair
from tests.unit.runtime.interrupts import AtSignals, interrupted

if TYPE_CHECKING:
    import socket
    from types import FrameType

LIMIT = 1 << 24


def put(box: Outbox, number: int, payload: bytes = b"", fds: tuple[int, ...] = ()) -> None:
    """Line up a frame."""
    box.put((frame(2, number, payload, descriptors=len(fds)), fds, None))


def read_all(reader: FrameReader) -> list[Frame]:
    """Return what has come."""
    found = []
    try:
        while reader.fill():
            found += reader.frames()
    except BlockingIOError:
        return found
    return found


def other_end(theirs: socket.socket) -> FrameReader:
    """Return what reads there."""
    theirs.setblocking(False)
    return FrameReader(theirs, LIMIT)


def test_frames_arrive_in_their_order_and_are_written_together() -> None:
    """One call into the system for many small frames."""
    with pair() as (ours, theirs):
        box, reader = Outbox(ours, pytest.fail), other_end(theirs)
        for number in range(2000):
            put(box, number, bytes(number % 50))
        box.flush()
        reader.fill()

        first = reader.frames()

        assert len(first) > 900
        assert [one.number for one in first + read_all(reader)] == list(range(2000))


def test_descriptors_go_with_their_frame_alone() -> None:
    """What is joined to it would take them for its own."""
    with pair() as (ours, theirs), marked_files(2) as fds:
        box, reader = Outbox(ours, pytest.fail), other_end(theirs)
        for number in range(6):
            put(box, number, b"x", (fds[number // 4],) if number in {1, 4} else ())
        box.flush()

        found = read_all(reader)

        assert [len(one.descriptors) for one in found] == [0, 1, 0, 0, 1, 0]
        assert let_go(found) == [0, 1]


def test_a_full_socket_tells_once_and_goes_on_where_it_stopped() -> None:
    """Nobody waits for it: the collector comes back when there is room."""
    calls: list[None] = []
    with pair() as (ours, theirs), marked_files(1) as fds:
        box, reader = Outbox(ours, partial(calls.append, None)), other_end(theirs)
        put(box, 1, bytes(1 << 20))
        put(box, 2, bytes(1 << 19), (fds[0],))
        put(box, 3)

        box.flush()
        box.flush()  # somebody else spawns meanwhile

        assert len(calls) == 1
        assert box.is_blocked
        found: list[Frame] = []
        while len(found) < 3:
            found += read_all(reader)
            box.resume()
        assert [(one.number, len(one.payload)) for one in found] == [
            (1, 1 << 20),
            (2, 1 << 19),
            (3, 0),
        ]
        assert let_go(found) == [0]
        assert len(calls) > 1


def test_a_child_that_is_gone_takes_nothing_and_raises_nothing() -> None:
    """Whatever reads from it will notice."""
    with pair() as (ours, theirs):
        box = Outbox(ours, pytest.fail)
        theirs.close()
        put(box, 1)

        box.flush()
        put(box, 2)
        box.flush()

        assert box.is_closed


def test_a_closed_outbox_writes_nothing() -> None:
    """Its socket may be another one's by then."""
    with pair() as (ours, theirs):
        for close in (Outbox.close, Outbox.abandon):
            box, reader = Outbox(ours, pytest.fail), other_end(theirs)
            put(box, 1)
            close(box)
            box.flush()
            box.resume()
            with pytest.raises(BlockingIOError):
                reader.fill()


def test_a_descriptor_that_was_closed_meanwhile_stops_nobody() -> None:
    """Its job was taken back while the socket was full, and has ended elsewhere."""
    with pair() as (ours, theirs), marked_files(1) as fds:
        box, reader = Outbox(ours, pytest.fail), other_end(theirs)
        put(box, 1, b"", (1 << 20,))
        put(box, 2, b"", (fds[0],))

        box.flush()

        found = read_all(reader)
        assert [(one.number, one.lost_descriptors) for one in found] == [(1, False), (2, False)]
        assert let_go(found) == [0]


class HeldSocket:
    """A socket on which `send` waits until the test lets it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.is_in, self.may_go = threading.Event(), threading.Event()

    def send(self, data: memoryview, flags: int) -> int:
        """Tell, wait, send."""
        self.is_in.set()
        assert self.may_go.wait(10)
        return self._sock.send(data, flags)


def held(sock: socket.socket) -> tuple[Outbox, HeldSocket, threading.Thread]:
    """Return an outbox in the middle of a write by a thread."""
    slow: Any = HeldSocket(sock)  # Any: it is a socket as far as an outbox goes
    box = Outbox(slow, pytest.fail)
    put(box, 1)
    writer = threading.Thread(target=box.flush)
    writer.start()
    assert slow.is_in.wait(10)
    return box, slow, writer


def test_what_comes_while_another_thread_writes_is_written_by_that_one() -> None:
    """Nobody waits for the one that writes."""
    with pair() as (ours, theirs):
        box, slow, writer = held(ours)
        put(box, 2)
        box.flush()  # returns, though nothing was written
        assert len(box._parts) == 1
        slow.may_go.set()
        writer.join(10)

        assert [one.number for one in read_all(other_end(theirs))] == [1, 2]


def test_close_waits_for_the_one_that_writes() -> None:
    """After it the descriptor may be closed, and another one may get its number."""
    with pair() as (ours, theirs):
        box, slow, writer = held(ours)
        put(box, 2)
        closer = threading.Thread(target=box.close)
        closer.start()
        assert closer.is_alive()
        slow.may_go.set()
        closer.join(10)
        writer.join(10)

        assert not closer.is_alive()
        assert read_all(other_end(theirs))[0].number == 1


def test_finish_waits_for_the_one_that_writes() -> None:
    """Who sends descriptors closes them afterwards."""
    with pair() as (ours, theirs):
        box, slow, writer = held(ours)
        put(box, 2)
        finisher = threading.Thread(target=box.finish)
        finisher.start()
        slow.may_go.set()
        finisher.join(10)
        writer.join(10)

        assert [one.number for one in read_all(other_end(theirs))] == [1, 2]


@pytest.mark.usefixtures("eager_thread_switches")
def test_two_threads_that_flush_leave_nothing_behind() -> None:
    """Whoever finds the place taken leaves its frames to the other."""
    with pair() as (ours, theirs):
        box, reader = Outbox(ours, pytest.fail), other_end(theirs)

        def send(first: int) -> None:
            for number in range(first, first + 100):
                put(box, number)
                box.flush()

        threads = [threading.Thread(target=send, args=(first,)) for first in (0, 1000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        numbers = [one.number for one in read_all(reader)]
        assert sorted(numbers) == [*range(100), *range(1000, 1100)]
        assert [one for one in numbers if one < 1000] == list(range(100))


# ---- Ctrl-C -------------------------------------------------------------------------------


def _is_outbox(frame: FrameType) -> bool:
    return frame.f_code.co_filename == module.__file__


@pytest.mark.parametrize("kind", ["small", "with descriptors", "full"])
def test_an_interrupt_at_any_place_loses_nothing_and_sends_nothing_twice(kind: str) -> None:
    """Ctrl-C in the middle of a spawn; the collector then sends what was left."""
    step = 1
    is_interrupted = True
    while is_interrupted:
        with pair() as (ours, theirs), marked_files(2) as fds:
            box, reader = Outbox(ours, list), other_end(theirs)
            for number in range(5):
                brings = (fds[number % 2],) if kind == "with descriptors" and 0 < number < 3 else ()
                put(box, number, bytes(300_000 if kind == "full" else 5), brings)

            is_interrupted = interrupted(box.flush, AtSignals(step, _is_outbox))

            found = read_all(reader)
            while box._parts or box._rest:
                box.resume()
                found += read_all(reader)
            assert [one.number for one in found] == [0, 1, 2, 3, 4], step
            assert let_go(found) == ([1, 0] if kind == "with descriptors" else [])
            assert not box._gate.locked()
            step += 1
    assert step > 20
