"""The child's end: a frame goes out whole, also where a signal handler of a job comes between."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.channel import Channel
from runtime.backends.process.wire import Frame, FrameReader, FrameType
from tests.unit.runtime.backends.process.socket_pairs import let_go, marked_files, pair

if TYPE_CHECKING:
    from types import FrameType as PythonFrame

LIMIT = 1 << 24


def read(reader: FrameReader, count: int) -> list[Frame]:
    """Return the next *count* frames."""
    found: list[Frame] = []
    while len(found) < count:
        assert reader.fill()
        found += reader.frames()
    return found


def test_frames_go_both_ways() -> None:
    """With all that their heads say, and their descriptors."""
    with pair(blocking=True) as (ours, theirs), marked_files(1) as fds:
        child, pool = Channel(ours, LIMIT), Channel(theirs, LIMIT)
        child.send(FrameType.VALUE, 7, b"data", kind=3, extra=9, descriptors=(fds[0],))
        child.send(FrameType.READY)
        pool.send(FrameType.LEAVE)

        pool.fill()
        value = pool.frames()
        pool.fill()
        assert child.fill()

        assert [*value[0][:5]] == [FrameType.VALUE, 3, 9, 7, b"data"]
        assert let_go(value) == [0]
        assert [one.type for one in pool.frames()] == [FrameType.READY]
        assert [one.type for one in child.frames()] == [FrameType.LEAVE]


def test_a_pool_that_is_gone_is_an_os_error() -> None:
    """The lifeline ends the child; until then nothing is sent into the void in silence."""
    with pair(blocking=True) as (ours, theirs):
        channel = Channel(ours, LIMIT)
        theirs.close()

        for _ in range(2):
            with pytest.raises(OSError, match="the pool is gone"):
                channel.send(FrameType.READY)


def test_a_process_that_a_job_forked_sends_nothing() -> None:
    """It is none of the pool's."""
    with pair(blocking=True) as (ours, theirs):
        channel = Channel(ours, LIMIT)
        channel.disown()
        channel.send(FrameType.READY)

        assert theirs.recv(1) == b""


def test_a_large_frame_with_descriptors_arrives_whole() -> None:
    """The socket takes it piece by piece; the descriptors come with the first one."""
    with pair(blocking=True) as (ours, theirs), marked_files(1) as fds:
        channel, reader = Channel(ours, LIMIT), FrameReader(theirs, LIMIT)
        sender = threading.Thread(
            target=channel.send,
            args=(FrameType.VALUE, 1, bytes(1 << 20)),
            kwargs={"descriptors": (fds[0],)},
        )
        sender.start()

        found = read(reader, 1)
        sender.join(10)

        assert len(found[0].payload) == 1 << 20
        assert let_go(found) == [0]


class JobAlarmError(Exception):
    """What a handler of the job's raises."""


def test_a_handler_that_raises_in_the_middle_of_a_frame_neither_cuts_nor_loses_it() -> None:
    """A job may have a signal handler of its own, and log while it comes."""
    with pair(blocking=True) as (ours, theirs):
        channel, reader = Channel(ours, LIMIT), FrameReader(theirs, LIMIT)
        main = threading.get_ident()
        done: list[list[Frame]] = []

        def on_alarm(_number: int, _frame: PythonFrame | None) -> None:
            raise JobAlarmError

        def other_side() -> None:
            assert theirs.recv(1, socket.MSG_PEEK)  # it is in the middle of it by now
            signal.pthread_kill(main, signal.SIGUSR1)
            done.append(read(reader, 2))

        before = signal.signal(signal.SIGUSR1, on_alarm)
        thread = threading.Thread(target=other_side)
        thread.start()
        try:
            with pytest.raises(JobAlarmError):
                channel.send(FrameType.LOG, 0, bytes(8 << 20))
            channel.send(FrameType.VALUE, 5)
        finally:
            thread.join(10)
            signal.signal(signal.SIGUSR1, before)

        assert [(one.type, len(one.payload)) for one in done[0]] == [
            (FrameType.LOG, 8 << 20),
            (FrameType.VALUE, 0),
        ]


def test_threads_of_a_job_that_log_do_not_mix_their_frames() -> None:
    """Each frame is whole, and each thread's come in its order."""
    with pair(blocking=True) as (ours, theirs):
        channel, reader = Channel(ours, LIMIT), FrameReader(theirs, LIMIT)

        def log(first: int) -> None:
            for number in range(first, first + 50):
                channel.send(FrameType.LOG, number, bytes(5_000))

        threads = [threading.Thread(target=log, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        found = read(reader, 150)
        for thread in threads:
            thread.join(10)

        for first in (0, 100, 200):
            assert [one.number for one in found if first <= one.number < first + 100] == list(
                range(first, first + 50)
            )
