"""What a job sees of a child process, looked at without one."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process.channel import Channel
from runtime.backends.process.packing import Packer
from runtime.backends.process.parcel import NEVER
from runtime.backends.process.results import unpack_result
from runtime.backends.process.wire import Frame, FrameReader, FrameType, frame
from runtime.clock import SYSTEM_CLOCK
from runtime.workers import child_process
from tests.unit.runtime.backends.process.core_bench import FakeJob
from tests.unit.runtime.backends.process.socket_pairs import pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LIMIT = 1 << 20
called: list[int] = []


def call_me() -> None:
    """Note that it was called."""
    called.append(1)


def ordered(number: int = 3, **changes: Any) -> tuple[int, int, str | None, float, int]:
    """Return an order."""
    return (
        number,
        70,
        changes.get("name", "resize"),
        changes.get("deadline", NEVER),
        changes.get("interrupt", 0),
    )


@pytest.fixture
def ends() -> Iterator[tuple[child_process._Slot, socket.socket]]:
    """A slot, and the pool's end of its socket."""
    with pair(blocking=True) as (ours, theirs):
        yield child_process._Slot(Channel(ours, LIMIT), data_only=False), theirs


@pytest.fixture
def slot(ends: tuple[child_process._Slot, socket.socket]) -> child_process._Slot:
    """The slot alone."""
    return ends[0]


def test_a_job_object_is_made_when_somebody_asks(slot: child_process._Slot) -> None:
    """Most jobs never do."""
    assert slot.describe() is None
    assert slot.begin(ordered(), call_me) is call_me
    assert slot.describe() == (70, "resize")
    assert slot._made is None

    job = slot.job

    assert job is not None
    assert slot.job is job
    assert (job.number, job.name, job.deadline) == (70, "resize", None)
    assert slot.end(None) is None
    assert job.is_over()
    assert slot.describe() is None


def test_a_job_without_a_name_is_called_by_its_number(slot: child_process._Slot) -> None:
    """As the pool calls it."""
    slot.begin(ordered(name=None), call_me)
    assert slot.describe() == (70, "worker-70")


def test_a_job_knows_its_deadline(slot: child_process._Slot) -> None:
    """On the clock of this process, which is the system's."""
    deadline = SYSTEM_CLOCK.now() + 100
    slot.begin(ordered(deadline=deadline), call_me)
    assert slot.job is not None
    assert slot.job.deadline == deadline
    slot.end(ValueError())


def test_only_the_job_that_is_meant_is_stopped(slot: child_process._Slot) -> None:
    """The word of another one comes late."""
    slot.stop(3)
    slot.begin(ordered(3), call_me)
    job = slot.job
    assert job is not None
    slot.stop(2)
    assert not job.is_over()
    slot.stop(3)
    assert job.is_over()
    error = ValueError("no")
    assert slot.end(error) is error


def test_progress_goes_to_the_pool_while_the_job_runs(
    ends: tuple[child_process._Slot, socket.socket],
) -> None:
    """And never after that, or for another one."""
    slot, theirs = ends
    slot.begin(ordered(9), call_me)
    job = slot.job
    slot.progress(job, 0.5)
    slot.progress(object(), 0.6)
    slot.end(None)
    slot.progress(job, 0.7)
    slot.channel.send(FrameType.READY)

    reader = FrameReader(theirs, LIMIT)
    found: list[Frame] = []
    while not found or found[-1].type != FrameType.READY:
        reader.fill()
        found += reader.frames()

    assert [one.type for one in found] == [FrameType.PROGRESS, FrameType.READY]
    assert found[0].number == 9
    assert unpack_result(found[0].kind, found[0].payload) == 0.5


def test_nothing_is_interrupted_that_did_not_ask_for_it(slot: child_process._Slot) -> None:
    """There is nobody who could."""
    slot.begin(ordered(), call_me)
    assert slot.job is not None
    assert not slot.interrupt(slot.job)
    slot.confirm(slot.job)
    slot.end(None)


def test_the_plan_is_the_first_thing_that_is_read(
    ends: tuple[child_process._Slot, socket.socket],
) -> None:
    """Of a pool that is gone there is none."""
    slot, theirs = ends
    theirs.sendall(frame(FrameType.PLAN, 0, pickle.dumps({"depth": 1})))
    assert child_process._read_plan(slot.channel) == {"depth": 1}
    theirs.close()
    assert child_process._read_plan(slot.channel) is None


def test_functions_of_the_pool_are_called_where_there_are_any() -> None:
    """An initializer, a finalizer."""
    called.clear()
    child_process._call(None)
    packed = Packer().pack(call_me, FakeJob(1), in_band=True)
    child_process._call((packed.function, packed.call))
    assert called == [1]


def test_a_process_that_a_job_forked_sends_nothing(
    ends: tuple[child_process._Slot, socket.socket],
) -> None:
    """It is none of the pool's."""
    slot, theirs = ends
    child_process._in_forked_child(slot)
    slot.channel.send(FrameType.READY)
    assert slot.forked
    assert theirs.recv(1) == b""
