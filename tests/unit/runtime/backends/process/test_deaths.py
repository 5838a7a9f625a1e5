"""How children end, from a source that the test plays, and what becomes of their jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import deaths
from runtime.backends.process.child_state import ChildState
from runtime.backends.process.page import FINISHED, REVOKED, SKIPPED, STARTED
from runtime.backends.process.starting import Ended
from runtime.backends.process.wire import FrameType, frame
from runtime.errors import (
    ProtocolError,
    QuarantinedJobError,
    RestartBudgetError,
    WorkerCrashedError,
    WorkerStartupError,
)
from tests.unit.runtime.backends.process.core_bench import Bench, bench_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of one child."""
    with bench_of(monkeypatch, **{"max_workers": 1, **getattr(request, "param", {})}) as bench:
        yield bench


def of(**options: object) -> pytest.MarkDecorator:
    """Make the bench with these options."""
    return pytest.mark.parametrize("bench", [options], indirect=True)


def set_up() -> None:
    """An initializer."""


# ---- the end of a child -------------------------------------------------------------------


def test_a_crash_fails_what_had_begun_and_gives_the_rest_to_others(bench: Bench) -> None:
    """With how it ended, and how much memory it had."""
    (peer,) = bench.idle()
    running, behind = bench.spawn(), bench.spawn()
    peer.begin(2)
    bench.die(peer, -11, 1 << 20)

    (error,) = running.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert (error.pid, error.exit_code, error.peak_bytes) == (1001, -11, 1 << 20)
    assert not error.finished
    (fresh,) = bench.ready(2)
    assert fresh.jobs() == [1]
    assert behind.slot is bench.child(2)
    assert bench.hub.budget.crashes == 1


@pytest.mark.parametrize("lives", [True, False])
def test_a_child_that_hangs_up_and_lives_is_told_from_one_that_dies(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, lives: bool
) -> None:
    """A process that the system kills closes its sockets as well, and before its end is seen."""
    monkeypatch.setattr(deaths, "_lives", lambda _child: lives)
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    peer.hang_up()
    bench.run()
    bench.die(peer)

    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert ("closed its channel" in error.reason) is lives
    assert ("out of memory" in str(error)) is not lives


def test_a_job_that_came_bare_cannot_come_without_its_descriptors(bench: Bench) -> None:
    """A child that says so would be sent the same job for ever."""
    (peer,) = bench.idle()
    job = bench.spawn()
    (number,) = peer.jobs()
    peer.send(frame(FrameType.BARE, number))
    bench.run()
    peer.begin(*peer.jobs())
    peer.send(frame(FrameType.BARE, number + 1))
    bench.run()

    assert bench.signals == [(1, signal.SIGKILL)]
    assert peer.jobs() == []
    bench.die(peer)
    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert isinstance(error.__cause__, ProtocolError)


def test_a_page_that_is_written_over_does_not_make_a_job_bounce(bench: Bench) -> None:
    """Its child skips whatever comes, for the page tells it that all was taken back."""
    (peer,) = bench.idle()
    peer.page.words[REVOKED] = (1 << 64) - 1
    job = bench.spawn()
    (number,) = peer.jobs()
    assert peer.begin(number) is False
    peer.page.words[SKIPPED] = number
    peer.send(frame(FrameType.SKIPPED, number))
    bench.run()

    assert peer.jobs() == []
    assert bench.signals == [(1, signal.SIGKILL)]
    bench.die(peer)
    (fresh,) = bench.ready(2)
    assert fresh.jobs() == [1]
    assert job.slot is bench.child(2)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_only_a_process_that_is_there_and_does_not_end_lives(bench: Bench) -> None:
    """One that has ended and was not waited for is there, too."""
    bench.idle()
    child = bench.child(1)
    child.pid = os.getpid()
    assert deaths._lives(child)
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    child.pid = ended.pid
    assert not deaths._lives(child)
    ended.wait()
    assert not deaths._lives(child)


def test_a_job_that_had_ended_without_an_answer_is_told_so(bench: Bench) -> None:
    """What it did is done; only its result is lost."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    peer.page.words[FINISHED] = 2
    bench.die(peer)

    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert error.finished


def test_an_answer_in_the_socket_counts_though_the_child_is_dead(bench: Bench) -> None:
    """Its last words are read before it is buried."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.answer(2)
    bench.die(peer)

    assert job.outcomes == [None]


def test_a_job_that_the_child_skipped_goes_elsewhere_though_it_could_not_say_so(
    bench: Bench,
) -> None:
    """The page says it."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.page.words[STARTED] = peer.page.words[SKIPPED] = 2
    bench.die(peer)

    assert not job.is_over()
    bench.ready(2)
    assert job.slot is bench.child(2)


@of(retry_on_crash=1)
def test_a_job_is_run_again_as_often_as_the_pool_says(bench: Bench) -> None:
    """Then it fails with its history, and the last crash is the cause."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    bench.die(peer, -9)
    assert not job.is_over()
    (fresh,) = bench.ready(2)
    fresh.begin(fresh.jobs()[0])
    bench.die(fresh, 3)

    (error,) = job.outcomes
    assert isinstance(error, QuarantinedJobError)
    assert error.kills == 2
    assert isinstance(error.__cause__, WorkerCrashedError)


@of(max_crashes=2)
def test_a_call_that_killed_too_many_is_not_run_any_more(bench: Bench) -> None:
    """Spawn says so."""
    for number in (1, 2):
        job = bench.spawn()
        (peer,) = bench.ready(number)
        peer.begin(peer.jobs()[0])
        bench.die(peer)
        assert isinstance(job.outcomes[0], WorkerCrashedError)
    with pytest.raises(QuarantinedJobError):
        bench.spawn()
    bench.spawn(os.getpid)  # another call
    assert bench.hub.quarantine.is_needed


@of(max_crashes=2)
def test_a_call_that_comes_to_an_end_is_forgiven(bench: Bench) -> None:
    """It was the machine's fault, or is mended: what it killed before does not count any more."""
    bench.spawn()
    (peer,) = bench.ready(1)
    peer.begin(*peer.jobs())
    bench.die(peer)
    bench.spawn()
    (peer,) = bench.ready(2)
    peer.answer(*peer.jobs())
    bench.run()
    bench.spawn()
    peer.begin(*peer.jobs())
    bench.die(peer)

    bench.spawn()


@of(max_restarts=0, retry_on_crash=5, max_workers=2)
def test_a_broken_pool_refuses_what_waits_and_what_was_to_be_run_again(bench: Bench) -> None:
    """Nothing of it runs any more, and nobody waits for ever."""
    bench.idle(2)
    first, second = (bench.peer(1), bench.peer(2))
    jobs = [bench.spawn() for _ in range(5)]
    first.begin(2)
    second.begin(2)
    bench.die(first)

    assert bench.fleet.broken is not None
    again = next(job for job in jobs if job.notes[:1] == ["crash"])
    assert isinstance(again.outcomes[0], RestartBudgetError)
    running = [job for job in jobs if not job.is_over()]
    assert len(running) == 1
    second.answer(2)
    bench.run()
    assert running[0].outcomes == [None]
    assert bench.child(2).state is ChildState.LEAVING
    assert bench.fleet.wanted == 0
    assert sorted(bench.source.peers) == [1, 2]


def test_a_child_that_closes_its_socket_and_lives_is_killed(bench: Bench) -> None:
    """It is of no use; its end is a crash."""
    (peer,) = bench.idle()
    peer.hang_up()
    bench.run()
    assert bench.signals == [(1, signal.SIGKILL)]
    bench.die(peer)
    assert bench.hub.budget.crashes == 1


def test_a_death_whose_status_comes_late_is_waited_for(bench: Bench) -> None:
    """A second at most; the first to come buries, the other one finds nobody."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    peer.die()
    bench.run()
    assert not job.is_over()
    bench.clock.advance(1.0)
    bench.source.tell(Ended(1, 7, None))
    bench.run()

    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert error.exit_code in {7, None}
    assert bench.fleet.children == {}
    bench.run()


def test_a_death_of_which_nobody_can_tell_is_one_all_the_same(bench: Bench) -> None:
    """The template that could tell has died too."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    peer.die()
    bench.run()
    bench.clock.advance(1.0)
    bench.run()

    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert error.exit_code is None


def test_a_status_that_comes_before_the_death_is_seen_is_enough(bench: Bench) -> None:
    """Another process may hold what tells of it."""
    bench.idle()
    bench.source.tell(Ended(1, 0, None), Ended(55, 0, None))
    bench.run()

    assert bench.fleet.children == {}


@of(initializer=set_up)
def test_an_initializer_that_ends_the_process_breaks_the_pool(bench: Bench) -> None:
    """It would do so in every child."""
    job = bench.spawn()
    peer = bench.begin(1)
    bench.die(peer, 3)

    (error,) = job.outcomes
    assert isinstance(error, WorkerStartupError)
    assert "exit status 3" in str(error)


@of(initializer=set_up)
def test_a_child_that_is_killed_while_it_starts_is_replaced(bench: Bench) -> None:
    """Somebody else did that: the next one may live."""
    job = bench.spawn()
    bench.die(bench.begin(1), -9)
    assert not job.is_over()
    bench.ready(2)
    assert job.state == "running"


def test_an_error_of_ours_in_a_burial_leaves_no_job_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history of a crash is worth less than an outcome."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)

    def fail(_packed: object, _what: str) -> int:
        raise LookupError("a bug")

    monkeypatch.setattr(type(bench.hub.quarantine), "note", lambda _self, a, b: fail(a, b))
    bench.die(peer)

    assert isinstance(job.outcomes[0], LookupError)


@of(capture_output=True)
def test_what_a_child_printed_before_it_died_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines of its last job go with the error, too."""
    caplog.set_level("INFO", "runtime.output")
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(2)
    os.write(peer.outputs[0], b"printed\n")
    bench.run()
    os.write(peer.outputs[1], b"last words")
    bench.die(peer)

    assert "printed" in caplog.text
    assert "last words" in caplog.text
    (error,) = job.outcomes
    assert isinstance(error, WorkerCrashedError)
    assert any("last words" in line for line in error.log_lines)


def test_a_large_job_is_written_piece_by_piece(bench: Bench) -> None:
    """As the child takes it; nobody waits for that."""
    (peer,) = bench.idle()
    bench.child(1).outbox.put((frame(FrameType.LOG, 0, bytes(1 << 20)), (), None))
    bench.child(1).outbox.flush()
    assert bench.child(1).outbox.is_blocked
    found: list[int] = []
    while not found:
        found = [len(one.payload) for one in peer.read()]
        bench.run()

    assert found == [1 << 20]
    assert not bench.child(1).outbox.is_blocked
