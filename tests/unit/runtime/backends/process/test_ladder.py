"""How the function of a job that is over is stopped. The clock moves when the test says so."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_state import ChildState
from runtime.backends.process.page import CANCELLED, STARTED
from runtime.backends.process.stop_token import TOKEN_SIGNAL
from runtime.backends.process.wire import FrameType
from tests.unit.runtime.backends.process.core_bench import Bench, FakeJob, Peer, bench_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TERM, KILL = (1, signal.SIGTERM), (1, signal.SIGKILL)
ASK = (1, TOKEN_SIGNAL)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of one child."""
    with bench_of(monkeypatch, **{"max_workers": 1, **getattr(request, "param", {})}) as bench:
        yield bench


def grace(seconds: float | None) -> pytest.MarkDecorator:
    """Make the bench with this grace."""
    return pytest.mark.parametrize("bench", [{"grace": seconds}], indirect=True)


def running(bench: Bench) -> tuple[Peer, FakeJob]:
    """Return a child that has begun a job."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.begin(peer.jobs()[0])
    return peer, job


def ends(bench: Bench) -> list[tuple[int, int]]:
    """Return the signals that do more than ask; the first one of all asked."""
    assert bench.signals[0] == ASK
    return [one for one in bench.signals if one != ASK]


def test_it_is_asked_then_ended_then_killed(bench: Bench) -> None:
    """Half a second from one to the next; the future has its outcome from the start."""
    peer, job = running(bench)

    bench.cancel(job)

    assert job.outcomes == ["cancelled"]
    assert bench.child(1).state is ChildState.ABANDONED
    assert peer.page.words[CANCELLED] == 2
    assert bench.signals == [ASK]
    for expected in ([], [TERM], [TERM], [TERM, KILL], [TERM, KILL]):
        bench.clock.advance(0.25)
        bench.run()
        assert ends(bench) == expected


def test_it_is_asked_again_and_again_in_longer_pauses_as_long_as_it_lasts(bench: Bench) -> None:
    """A signal that comes just before a wait is seen with the next one."""
    peer, job = running(bench)
    bench.cancel(job)
    for _ in range(40):
        bench.clock.advance(0.01)
        bench.run()
    asked = bench.signals.count(ASK)
    assert 2 < asked < 10
    peer.answer(2)
    bench.run()
    bench.clock.advance(10)
    bench.run()
    assert bench.signals.count(ASK) == asked


@grace(0)
def test_without_grace_it_is_killed_at_once(bench: Bench) -> None:
    """Whoever says so knows that nothing in it has to be saved."""
    _, job = running(bench)
    bench.cancel(job)

    assert bench.signals == [KILL]
    assert bench.child(1).is_dying


@grace(0)
def test_an_answer_that_was_not_read_yet_keeps_nobody_from_killing(bench: Bench) -> None:
    """The job before it has ended; only the pool has not heard of that."""
    (peer,) = bench.idle()
    first, second = bench.spawn(), bench.spawn()
    peer.answer(2)
    peer.begin(3)

    bench.cancel(second)

    assert bench.signals == [KILL]
    bench.die(peer)
    assert first.outcomes == [None]
    assert second.outcomes == ["cancelled"]
    assert bench.hub.budget.crashes == 0


@grace(None)
def test_with_grace_none_it_is_only_asked(bench: Bench) -> None:
    """However long it takes."""
    _, job = running(bench)
    bench.cancel(job)
    bench.clock.advance(1e6)
    bench.run()

    assert ends(bench) == []


def test_a_job_that_returns_in_time_gives_its_child_back(bench: Bench) -> None:
    """Nothing was sent that could hit the next one."""
    peer, job = running(bench)
    bench.cancel(job)
    peer.answer(2)
    bench.run()
    bench.clock.advance(10)
    bench.run()

    assert bench.signals == [ASK]
    assert bench.child(1).state is ChildState.IDLE
    assert job.outcomes == ["cancelled"]
    assert bench.spawn().slot is bench.child(1)


def test_a_child_that_sigterm_is_on_its_way_to_gets_no_more_jobs(bench: Bench) -> None:
    """The function returned a moment later: the next job must not die of it."""
    peer, job = running(bench)
    bench.cancel(job)
    bench.clock.advance(0.5)
    bench.run()
    waiting = bench.spawn()

    peer.answer(2)
    bench.run()

    assert ends(bench) == [TERM]
    assert bench.child(1).state is ChildState.LEAVING
    assert peer.read()[-1].type == FrameType.LEAVE
    assert waiting.state == "pending"
    bench.die(peer, -15)
    (fresh,) = bench.ready(2)
    assert len(fresh.jobs()) == 1
    assert bench.hub.budget.crashes == 0


def test_what_waits_behind_an_abandoned_job_goes_to_others(bench: Bench) -> None:
    """Its child gets nothing more as long as it does not return."""
    (peer,) = bench.idle()
    job, behind = bench.spawn(), bench.spawn()
    peer.begin(2)
    assert len(bench.child(1).in_flight) == 2

    bench.cancel(job)

    assert [one for _, one in bench.child(1).in_flight] == [job]
    assert behind.state == "pending"
    assert list(bench.fleet.queue.snapshot()) == [behind]
    bench.spawn()
    assert len(bench.child(1).in_flight) == 1


def test_the_ladder_is_for_the_job_that_runs_not_for_one_that_has_ended_unheard(
    bench: Bench,
) -> None:
    """Both are cancelled, the second one first: that is the one which runs."""
    (peer,) = bench.idle()
    first, second = bench.spawn(), bench.spawn()
    peer.answer(2)
    peer.begin(3)
    bench.cancel(second)

    bench.cancel(first)

    assert peer.page.words[CANCELLED] == 3
    assert bench.signals == [ASK]
    bench.clock.advance(0.5)
    bench.run()
    assert ends(bench) == [TERM]


def test_a_job_that_is_to_be_run_again_is_forgotten_when_it_is_over(bench: Bench) -> None:
    """It runs nowhere; nothing is signalled."""
    _, other = running(bench)
    job = FakeJob(77)
    job.state = "running"
    bench.fleet.again.append(job)

    bench.cancel(job)

    assert not bench.fleet.again
    assert job.notes == ["never began"]
    assert bench.signals == []
    assert not other.is_over()


def test_without_a_thread_that_watches_the_rungs_follow_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alternative is a child that nobody ends."""
    _, job = running(bench)

    def refuse(_seconds: float, _call: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bench.hub.deadlines, "add_in", refuse)
    bench.cancel(job)

    assert bench.signals == [ASK, TERM, KILL]


def test_a_child_that_has_died_is_sent_nothing_more(bench: Bench) -> None:
    """Its descriptor may be another one's by now."""
    peer, job = running(bench)
    child = bench.child(1)
    bench.cancel(job)
    bench.die(peer)
    before = list(bench.signals)
    bench.clock.advance(10)
    bench.run()
    child.send_signal(signal.SIGKILL)

    assert bench.signals == before
    assert job.notes.count("crash") == 1


def test_a_job_taken_back_while_both_gave_way_is_not_signalled_for(bench: Bench) -> None:
    """It had not begun: cancelled, it never runs."""
    (peer,) = bench.idle()
    job = bench.spawn()
    peer.jobs()
    assert peer.page.words[STARTED] == 1

    bench.cancel(job)

    assert not peer.begin(2)
    assert bench.signals == []
    assert bench.child(1).in_flight == type(bench.child(1).in_flight)()
