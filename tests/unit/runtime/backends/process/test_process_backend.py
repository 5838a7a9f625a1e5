"""What a pool asks of the process backend, and what it does where a spawn comes in between."""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, cast

import pytest

from runtime.backends.process.child import Child
from runtime.backends.process.child_state import ChildState
from runtime.backends.process.context import ContextPacker
from runtime.backends.process.failures import pack_error
from runtime.backends.process.hub import _taken_from
from runtime.backends.process.packing import THRESHOLD
from runtime.backends.process.page import CANCELLED
from runtime.backends.process.parcel import HEAD
from runtime.backends.process.results import pack_result
from runtime.backends.process.wire import Frame, FrameType, frame
from runtime.clock import SYSTEM_CLOCK
from runtime.errors import UnpicklableError
from tests.unit.runtime.backends.process.core_bench import Bench, FakeJob, bench_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.backends.base import JobSink
    from runtime.backends.process.starting import ChildFds


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of two children."""
    with bench_of(monkeypatch, **{"max_workers": 2, **getattr(request, "param", {})}) as bench:
        yield bench


def test_a_deadline_reaches_the_child_on_its_own_clock(bench: Bench) -> None:
    """The pool's clock may be another one."""
    _, peer = bench.idle(2)
    before = SYSTEM_CLOCK.now()
    bench.spawn(deadline=bench.clock.now() + 50.0, run_timeout=3.0)
    peer.jobs()

    _, _, deadline, run_timeout, *_ = HEAD.unpack_from(peer.frames[-1].payload)

    assert before + 50.0 <= deadline <= SYSTEM_CLOCK.now() + 50.0
    assert run_timeout == 3.0


def test_a_job_whose_time_is_up_when_it_is_spawned_never_begins(bench: Bench) -> None:
    """It has its outcome, and nothing is sent."""
    _, peer = bench.idle(2)
    job = bench.spawn(deadline=bench.clock.now())

    assert job.outcomes == ["expired"]
    assert peer.jobs() == []


def test_the_time_of_a_job_is_watched_from_its_begin(bench: Bench) -> None:
    """Of one that was sent ahead when it is known to have begun."""
    peers = bench.idle(2)
    bench.spawn()
    first = bench.spawn(run_timeout=1.0)
    second = bench.spawn(run_timeout=1.0)
    assert "begun" in first.notes
    assert second.notes == []

    for peer in peers:
        peer.answer(peer.jobs()[0])
        bench.run()

    assert "begun" in second.notes


@pytest.mark.parametrize("bench", [{"max_message_bytes": 5000}], indirect=True)
@pytest.mark.parametrize("size", [6000, THRESHOLD])
def test_a_job_that_is_too_large_is_refused_at_the_spawn(bench: Bench, size: int) -> None:
    """In the frame or beside it; nothing of it is left."""
    with pytest.raises(UnpicklableError, match="max_message_bytes=5000"):
        bench.spawn(functools.partial(len, bytearray(size)))


def test_a_function_that_cannot_travel_is_refused_at_the_spawn(bench: Bench) -> None:
    """The job is told, too."""
    lock = bench.hub.lock
    job = FakeJob(1, lambda: lock)
    with pytest.raises(UnpicklableError):
        bench.backend.submit(job)
    assert isinstance(job.outcomes[0], UnpicklableError)
    assert bench.fleet.queue.is_empty()


def test_a_spawn_in_the_middle_of_a_spawn_keeps_the_order_of_a_child_s_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finalizer or a signal handler may spawn while the lock is held by its own thread."""
    first, second = bench.idle(2)
    inner: list[FakeJob] = []
    take = bench.fleet._take_again

    def take_and_spawn() -> JobSink | None:
        if not inner:
            inner.append(FakeJob(99))
            bench.backend.submit(inner[0])
        return take()

    monkeypatch.setattr(bench.fleet, "_take_again", take_and_spawn)
    outer = bench.spawn()
    bench.run()

    assert outer.state == inner[0].state == "running"
    assert [first.jobs(), second.jobs()] == [[2], [2]]


@pytest.mark.parametrize("step", ["take", "give"])
def test_a_child_that_was_about_to_get_a_job_when_ctrl_c_came_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It has none, and is idle: the collector sees to that."""
    bench.idle(2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "take":
            patch.setattr(bench.fleet, "_take_again", interrupt)
        else:
            patch.setattr("runtime.backends.process.child.Child.give", interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.spawn()
    bench.run()

    jobs = [bench.spawn() for _ in range(2)]

    assert all(bench.child(number).state is ChildState.BUSY for number in (1, 2))
    assert any(job.state == "running" for job in jobs)


def test_what_a_job_asks_its_slot_in_this_process_is_nothing(bench: Bench) -> None:
    """Its function runs elsewhere."""
    bench.idle(2)
    job = bench.spawn()
    child = bench.child(2)
    assert child.job is job
    setattr(child, "now", 5.0)  # noqa: B010 - a type checker would take it to be that
    assert child.now is None
    assert not child.interrupt(job)
    child.progress(job, 1)
    child.confirm(FakeJob(5))
    assert child.job is job


class OfUser(Exception):  # noqa: N818 - as users do
    """An error whose making is code of the user."""


def test_what_may_run_code_of_the_user_is_loaded_elsewhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors, values and progress: the collector reads on."""
    loaded: list[Callable[[], object]] = []
    monkeypatch.setattr(bench.hub.loader, "_add", lambda call, _job=None: loaded.append(call))
    (peer, _) = bench.idle(2)
    jobs = [bench.spawn() for _ in range(2)]
    kind, data, _ = pack_result(OfUser, 1 << 30)
    peer.send(
        frame(FrameType.PROGRESS, 2, data, kind=kind),
        frame(FrameType.ERROR, 2, pack_error(OfUser("no"), "worker 4")),
    )
    bench.run()
    assert len(loaded) == 2
    assert not any(job.is_over() for job in jobs)
    assert not bench.backend.wait_idle(0)

    for call in loaded:
        call()

    (job,) = [job for job in jobs if job.is_over()]
    assert job.notes[-1] is OfUser
    assert isinstance(job.outcomes[0], OfUser)


def test_buffers_of_a_job_that_has_ended_are_given_back(bench: Bench) -> None:
    """Before whoever waits for it goes on."""
    peers = bench.idle(2)
    job = bench.spawn(functools.partial(len, bytearray(THRESHOLD)))
    attachment = job.work.packed.attachment
    number = let_go_of_all(peers[1].read())
    kind, data, _ = pack_result(5, 1 << 30)

    peers[1].send(frame(FrameType.VALUE, number, data, kind=kind))
    bench.run()

    assert job.outcomes == [5]
    assert attachment.fileno() == -1


def let_go_of_all(frames: list[Frame]) -> int:
    """Close what came with *frames*; return the number of the last one."""
    for one in frames:
        for fd in one.descriptors:
            os.close(fd)
    return frames[-1].number


def test_a_context_variable_that_cannot_travel_is_named() -> None:
    """With the job that it was for."""
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("of_the_request")
    context = contextvars.Context()
    context.run(variable.set, threading.Lock())

    with pytest.raises(UnpicklableError, match="of_the_request"):
        ContextPacker([variable]).pack(context, FakeJob(1))


@pytest.mark.parametrize("bench", [{"max_workers": 1}], indirect=True)
@pytest.mark.parametrize("waiting", [3, 65])
def test_a_job_goes_to_an_idle_child_whatever_became_of_those_that_waited(
    bench: Bench, waiting: int
) -> None:
    """The queue may have become empty without anybody having given anything out."""
    (peer,) = bench.idle(1)
    bench.child(1).depth = 1
    bench.spawn()
    queued = [bench.spawn() for _ in range(waiting)]
    assert bench.fleet.is_full
    for job in queued:
        bench.cancel(job)
    with bench.hub.lock:
        assert bench.fleet.queue.is_empty()  # as who waits for idleness looks: takes shells out

    peer.answer(*peer.jobs())
    bench.run()
    late = bench.spawn()
    peer.answer(*peer.jobs())
    bench.run()

    assert late.outcomes == [None]


def test_what_several_threads_take_out_is_taken_out_once() -> None:
    """Who finds nothing left goes on with what it has to do."""
    items = Emptied(["last"])

    assert list(_taken_from(items)) == []


class Emptied(deque[str]):
    """Somebody else takes the last one out between the look and the taking."""

    def popleft(self) -> str:
        """Take it out twice."""
        super().popleft()
        return super().popleft()


@pytest.mark.parametrize("bench", [{"max_workers": 1}], indirect=True)
def test_a_job_that_is_cancelled_while_it_is_given_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler may do so, when no child has it yet and nobody can find it."""
    (peer,) = bench.idle(1)
    give = Child.give

    def give_and_cancel(child: Child, job: JobSink, deadline: float | None) -> None:
        cast("FakeJob", job).cancel()
        give(child, job, deadline)

    monkeypatch.setattr(Child, "give", give_and_cancel)
    bench.spawn()

    (number,) = peer.jobs()
    assert bench.child(1).page.words[CANCELLED] == number or bench.child(1).in_flight == deque()


def test_a_child_that_is_being_started_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who spawns in between must not have one more started than there may be."""
    start = bench.source.start
    spawned = []

    def spawn_and_start(number: int, fds: ChildFds) -> None:
        spawned.append(bench.spawn())
        start(number, fds)

    monkeypatch.setattr(bench.source, "start", spawn_and_start)
    for _ in range(3):
        bench.spawn()
    bench.run()

    assert len(spawned) == len(bench.fleet.children) == 2
