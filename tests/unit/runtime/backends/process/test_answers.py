"""What children say, the hostile ones too: what came before is settled, then they are ended."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_state import ChildState
from runtime.backends.process.failures import pack_error
from runtime.backends.process.loading import Loader
from runtime.backends.process.page import STARTED
from runtime.backends.process.relay import Relay
from runtime.backends.process.results import Kind, pack_result
from runtime.backends.process.serving import REPLACE_ME
from runtime.backends.process.wire import FrameType, frame
from runtime.errors import ProtocolError, WorkerCrashedError, WorkerStartupError
from tests.unit.runtime.backends.process.core_bench import Bench, FakeJob, Peer, bench_of
from tests.unit.runtime.backends.process.socket_pairs import marked_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of one child, which loads results at once."""

    def load(_self: Loader, call: Callable[[], object], _job: object = None) -> None:
        call()

    monkeypatch.setattr(Loader, "submit", load)
    with bench_of(monkeypatch, **{"max_workers": 1, **getattr(request, "param", {})}) as bench:
        yield bench


def three_jobs(bench: Bench) -> tuple[Peer, list[FakeJob], list[int]]:
    """Return a child that has three jobs, and them."""
    (peer,) = bench.idle()
    child = bench.child(1)
    jobs = [bench.spawn()]
    with bench.hub.lock:
        for number in (101, 102):
            job = FakeJob(number)
            job.work = jobs[0].work
            child.give(job, None)
            jobs.append(job)
    child.outbox.flush()
    return peer, jobs, peer.jobs()


def result(number: int, value: object) -> bytes:
    """Return the frame of a result."""
    kind, data, _ = pack_result(value, 1 << 30)
    return frame(FrameType.VALUE, number, data, kind=kind)


# ---- what honest ones say -----------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text", b"bytes", [1, 2], {"a": (1,)}, len])
def test_a_value_arrives(bench: Bench, value: object) -> None:
    """Whatever it is, also what runs code to be loaded."""
    (peer,) = bench.idle()
    job = bench.spawn()
    (number,) = peer.jobs()

    peer.send(result(number, value))
    bench.run()

    assert job.outcomes == [value]
    assert bench.fleet.settling == set()
    assert bench.backend.wait_idle(0)


def test_a_child_that_has_run_dry_gets_as_much_as_it_has_room_for(bench: Bench) -> None:
    """Not the two that tide over a busy one: it would answer both, and run dry again."""
    (peer,) = bench.idle()
    for _ in range(200):
        bench.spawn()
    given = peer.jobs()
    assert len(given) == 2

    for number in given:
        peer.send(frame(FrameType.VALUE, number))
    bench.run()

    assert len(peer.jobs()) > 100


def test_an_error_arrives(bench: Bench) -> None:
    """As the error that it was."""
    (peer,) = bench.idle()
    job = bench.spawn()
    (number,) = peer.jobs()

    peer.send(frame(FrameType.ERROR, number, pack_error(ValueError("no"), "worker 2")))
    bench.run()

    assert isinstance(job.outcomes[0], ValueError)


def test_what_cannot_be_read_is_the_outcome_of_its_job_alone(bench: Bench) -> None:
    """The child may be right about all others."""
    peer, jobs, numbers = three_jobs(bench)

    peer.send(
        frame(FrameType.VALUE, numbers[0], b"nonsense", kind=int(Kind.PICKLE)),
        frame(FrameType.ERROR, numbers[1], b"nonsense"),
        frame(FrameType.VALUE, numbers[2]),
    )
    bench.run()

    assert isinstance(jobs[0].outcomes[0], Exception)
    assert isinstance(jobs[1].outcomes[0], Exception)
    assert jobs[2].outcomes == [None]
    assert bench.child(1).state is ChildState.IDLE


def test_progress_and_records_come_through(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Progress only of the job that runs; what cannot be read is told, and that is all."""
    peer, jobs, numbers = three_jobs(bench)
    kind, data, _ = pack_result(0.5, 1 << 30)
    for number in numbers:
        peer.send(frame(FrameType.PROGRESS, number, data, kind=kind))
    peer.send(frame(FrameType.PROGRESS, numbers[0], b"?", kind=int(Kind.PICKLE)))
    peer.send(frame(FrameType.LOG, 0, b"no record"))
    bench.run()

    assert jobs[0].notes == [0.5]
    assert jobs[1].notes == jobs[2].notes == []
    assert "cannot be read" in caplog.text
    assert bench.child(1).state is ChildState.BUSY


@pytest.mark.parametrize("bench", [{"results": "data"}], indirect=True)
def test_a_report_that_is_refused_was_reported(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """By whom, and that it was no result."""
    peer, _, numbers = three_jobs(bench)
    peer.send(frame(FrameType.PROGRESS, numbers[0], b"?", kind=int(Kind.PICKLE)))
    bench.run()

    assert "worker 2 reported what is no plain data (progress: a pickle)" in caplog.text


def test_a_child_that_says_so_is_replaced(bench: Bench) -> None:
    """A job left something behind: the ones that it has not begun go elsewhere."""
    peer, jobs, numbers = three_jobs(bench)
    peer.page.words[STARTED] = numbers[0]

    peer.send(frame(FrameType.VALUE, numbers[0], kind=REPLACE_ME))
    bench.run()

    assert jobs[0].outcomes == [None]
    assert bench.child(1).state is ChildState.LEAVING
    assert peer.read()[-1].type == FrameType.LEAVE
    assert not jobs[1].is_over()
    assert bench.fleet.recycled == 1


def test_a_job_that_came_without_its_descriptors_is_sent_again_bare(bench: Bench) -> None:
    """Its child could have no more of them."""
    (peer,) = bench.idle()
    job = bench.spawn()
    (number,) = peer.jobs()

    peer.send(frame(FrameType.BARE, number))
    bench.run()

    assert peer.jobs() == [number + 1]
    assert job.work.is_bare
    assert not job.is_over()


# ---- what others say ----------------------------------------------------------------------


def wrong(kind: str, last: int) -> bytes:
    """Return what no child of ours sends."""
    return {
        "unknown type": frame(99),
        "type of the pool": frame(FrameType.JOB, 1),
        "ready twice": frame(FrameType.READY),
        "unfit when ready": frame(FrameType.UNFIT, 0, b"x"),
        "wrong number": frame(FrameType.VALUE, last + 7),
        "number of one behind": frame(FrameType.VALUE, last),
        "answered already": frame(FrameType.VALUE, 1),
        "skips what it was never given": frame(FrameType.SKIPPED, last + 1),
        "skips what was not taken back": frame(FrameType.SKIPPED, last - 1),
        "other version": b"\x09" + frame(FrameType.VALUE, last)[1:],
        "too long": frame(FrameType.VALUE, last)[:-8] + b"\xff" * 8,
    }[kind]


WRONG = [
    "unknown type", "type of the pool", "ready twice", "unfit when ready", "wrong number",
    "number of one behind", "answered already", "skips what it was never given",
    "skips what was not taken back", "other version", "too long",
]  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_child_that_makes_no_sense_is_ended_and_what_came_before_counts(
    bench: Bench, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answers up to there are outcomes; the rest ends as after a crash, or goes elsewhere."""
    peer, jobs, numbers = three_jobs(bench)
    peer.page.words[STARTED] = numbers[1]

    peer.send(frame(FrameType.VALUE, numbers[0]), wrong(kind, numbers[2]), result(numbers[1], 3))
    bench.run()

    assert jobs[0].outcomes == [None]
    assert bench.signals == [(1, signal.SIGKILL)]
    assert "sent what no worker process sends" in caplog.text
    assert bench.fleet.settling == set()
    bench.die(peer)
    (error,) = jobs[1].outcomes
    assert isinstance(error, WorkerCrashedError)
    assert isinstance(error.__cause__, ProtocolError)
    assert error.reason == f"ProtocolError: {error.__cause__}"
    assert "out of memory" not in str(error)
    assert not jobs[2].is_over()
    (fresh,) = bench.ready(2)
    assert fresh.jobs() == [1]
    assert jobs[2].slot is bench.child(2)


def test_answers_of_a_child_that_has_no_job_are_refused(bench: Bench) -> None:
    """Also where it is idle."""
    (peer,) = bench.idle()
    peer.send(frame(FrameType.ERROR, 1, b"x"))
    bench.run()

    assert bench.signals == [(1, signal.SIGKILL)]


def test_a_late_word_that_a_job_was_skipped_is_no_lie(bench: Bench) -> None:
    """It was taken back, and the child saw it after that."""
    (peer,) = bench.idle()
    with bench.hub.lock:
        bench.child(1).take_back()
    peer.send(frame(FrameType.SKIPPED, 1))
    bench.run()

    assert bench.signals == []
    assert bench.child(1).state is ChildState.IDLE


def test_descriptors_that_come_with_frames_that_bring_none_are_closed(bench: Bench) -> None:
    """The leak check counts them."""
    peer, _, numbers = three_jobs(bench)
    with marked_files(2) as fds:
        for data in (
            frame(FrameType.HELLO, descriptors=2),
            frame(FrameType.LOG, 0, b"?", descriptors=2),
            frame(FrameType.SKIPPED, 1, descriptors=2),
            frame(FrameType.VALUE, numbers[0], descriptors=2),
            frame(FrameType.ERROR, numbers[1], b"?", descriptors=2),
            frame(FrameType.BARE, numbers[2], descriptors=2),
            frame(99, descriptors=2),
            frame(FrameType.VALUE, 1000, descriptors=2),
        ):
            peer.send(data, fds=(fds[0], fds[1]))
            bench.run()


def test_descriptors_behind_nonsense_are_closed(bench: Bench) -> None:
    """They came in the same read."""
    peer, _, numbers = three_jobs(bench)
    with marked_files(1) as fds:
        peer.send(frame(FrameType.VALUE, 1000))
        peer.send(frame(FrameType.VALUE, numbers[0], descriptors=1), fds=(fds[0],))
        bench.run()
    assert bench.signals == [(1, signal.SIGKILL)]


def test_a_result_whose_buffers_could_not_come_fails_with_what_to_do(bench: Bench) -> None:
    """This process may have no more descriptors."""
    (peer,) = bench.idle()
    job = bench.spawn()
    (number,) = peer.jobs()
    peer.send(frame(FrameType.VALUE, number, b"", kind=int(Kind.PICKLE), descriptors=1))
    bench.run()

    (error,) = job.outcomes
    assert isinstance(error, ProtocolError)
    assert "came without its buffers" in str(error)


@pytest.mark.parametrize("data_only", [True, False])
def test_a_result_that_is_no_attachment_fails_alone(
    monkeypatch: pytest.MonkeyPatch, *, data_only: bool
) -> None:
    """A file that could be changed under our feet is not mapped."""
    results = "data" if data_only else "any"
    with bench_of(monkeypatch, results=results) as bench, marked_files(1) as fds:
        monkeypatch.setattr(bench.hub.loader, "submit", lambda call, _job: call())
        (peer,) = bench.idle()
        job = bench.spawn()
        (number,) = peer.jobs()
        peer.send(frame(FrameType.VALUE, number, b"", kind=8, descriptors=1), fds=(fds[0],))
        bench.run()

        assert isinstance(job.outcomes[0], ProtocolError)


# ---- errors of ours -----------------------------------------------------------------------


def test_an_error_of_ours_while_one_is_settled_takes_no_other_along(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for the one is told at least that."""
    peer, jobs, numbers = three_jobs(bench)

    def fail(_value: object) -> None:
        raise LookupError("a bug")

    for way in ("returned", "publish"):
        monkeypatch.setattr(jobs[0], way, fail)
    peer.answer(*numbers)
    bench.run()

    assert isinstance(jobs[0].outcomes[0], LookupError)
    assert jobs[1].outcomes == jobs[2].outcomes == [None]
    assert "was lost" in caplog.text
    assert bench.fleet.settling == set()


def test_a_child_that_cannot_be_understood_ends_and_its_jobs_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of ours must leave no future open."""
    peer, jobs, numbers = three_jobs(bench)
    peer.page.words[STARTED] = numbers[0]

    def fail(_relay: Relay, _pid: int, _data: bytes) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(Relay, "handle", fail)
    peer.send(frame(FrameType.LOG, 0, b"x"))
    bench.run()
    assert bench.signals == [(1, signal.SIGKILL)]
    bench.die(peer)

    assert isinstance(jobs[0].outcomes[0], WorkerCrashedError)
    assert "cannot be understood" in caplog.text


def test_a_frame_that_no_memory_is_left_for_ends_the_child(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool goes on."""
    (peer,) = bench.idle()

    def fail() -> None:
        raise MemoryError

    reader = bench.child(1).reader
    monkeypatch.setattr(type(reader), "frames", lambda _self: fail())
    peer.send(b"x")
    bench.run()

    assert bench.signals == [(1, signal.SIGKILL)]


# ---- the initializer ----------------------------------------------------------------------


def test_an_initializer_that_raises_breaks_the_pool_with_its_error(bench: Bench) -> None:
    """So it would in every other child."""
    job = bench.spawn()
    peer = bench.begin(1)
    peer.send(frame(FrameType.UNFIT, 0, pack_error(ValueError("no"), "the initializer")))
    bench.run()

    (error,) = job.outcomes
    assert isinstance(error, WorkerStartupError)
    assert isinstance(error.__cause__, ValueError)
    assert bench.child(1).state is ChildState.LEAVING
    with pytest.raises(WorkerStartupError):
        bench.backend.warm_up(0)
    bench.die(peer, 70)
    assert bench.fleet.children == {}
    assert bench.hub.budget.crashes == 0


def test_a_child_that_is_let_go_when_it_starts_may_still_say_that_it_is_ready(
    bench: Bench,
) -> None:
    """The pool was shut down meanwhile."""
    job = bench.spawn()
    peer = bench.begin(1)
    bench.cancel(job)
    bench.backend.close()
    peer.send(frame(FrameType.READY))
    bench.run()

    assert bench.child(1).state is ChildState.LEAVING
    assert bench.signals == []
    assert os.fstat(bench.child(1).sock.fileno())
