"""How children come, from a source that the test plays; or not, and then it is said why."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_state import ChildState
from runtime.backends.process.starting import Failed, Lost, Started
from runtime.backends.process.wire import FrameType, frame
from runtime.errors import (
    RestartBudgetError,
    WorkerStartError,
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


# ---- starting -------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "too many"), WorkerStartError("no")])
def test_where_no_child_can_be_had_what_waits_is_refused_and_the_next_may_work(
    bench: Bench, error: Exception
) -> None:
    """Each future has an error of its own."""
    bench.source.refusal = error
    jobs = [bench.spawn() for _ in range(3)]
    bench.run()

    assert len({id(job.outcomes[0]) for job in jobs}) == 3
    assert all(isinstance(job.outcomes[0], WorkerStartError) for job in jobs)
    assert bench.fleet.children == {}
    bench.source.refusal = None
    later = bench.spawn()
    bench.ready(2)
    assert later.state == "running"


def test_where_no_collector_can_be_had_what_waits_is_refused(bench: Bench) -> None:
    """No thread: then there is nobody who would start children."""
    bench.collector.refusal = RuntimeError("can't start new thread")
    job = bench.spawn()

    assert isinstance(job.outcomes[0], WorkerStartError)
    assert bench.fleet.wanted == 0


@of(max_workers=2)
def test_where_one_child_lives_the_others_are_done_without(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and the jobs wait for that one."""
    bench.spawn()
    bench.ready(1)
    bench.source.refusal = WorkerStartError("no")
    waiting = bench.spawn()
    bench.run()

    assert not waiting.is_over()
    assert "goes on with fewer" in caplog.text


def test_a_source_that_fails_for_now_refuses_what_waits(bench: Bench) -> None:
    """The next job asks again."""
    job = bench.spawn()
    bench.run()
    bench.source.tell(Failed(1, "no memory", permanent=False))
    bench.run()

    assert isinstance(job.outcomes[0], WorkerStartError)
    assert bench.fleet.children == {}
    assert bench.source.peers[1].is_orphan()


def test_a_source_that_fails_for_good_breaks_the_pool(bench: Bench) -> None:
    """A module to preload fails: so it would next time."""
    job = bench.spawn()
    bench.run()
    bench.source.tell(
        Failed(1, "Traceback: no module", permanent=True), Failed(9, "", permanent=True)
    )
    bench.run()

    assert isinstance(job.outcomes[0], WorkerStartupError)
    with pytest.raises(WorkerStartupError):
        bench.spawn()


def test_a_template_that_dies_is_asked_for_again_until_that_happens_too_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job waits for the next one; the budget is for this too."""
    with bench_of(monkeypatch, max_restarts=1) as bench:
        job = bench.spawn()
        for number in (1, 2):
            assert not job.is_over()
            bench.run()
            bench.source.tell(Failed(number, "gone", permanent=False), Lost("killed"))
            bench.run()

        assert isinstance(job.outcomes[0], RestartBudgetError)
        assert "the next start makes another" in caplog.text


def test_a_child_that_starts_when_it_is_given_up_already_is_left_to_its_lifeline(
    bench: Bench,
) -> None:
    """Its pidfd is closed: the leak check counts it."""
    bench.spawn()
    bench.run()
    peer = bench.peer(1)
    bench.source.tell(Failed(1, "too slow", permanent=False))
    bench.run()
    bench.source.tell(Started(1, 1001, os.dup(peer.alive)), Started(1, 1001, -1))
    bench.run()

    assert peer.is_orphan()


@of(startup_timeout=5.0)
def test_a_child_that_does_not_start_in_time_breaks_the_pool(bench: Bench) -> None:
    """Not even forked: what it waits for is abandoned."""
    job = bench.spawn()
    bench.run()
    bench.clock.advance(5)
    bench.run()

    assert isinstance(job.outcomes[0], WorkerStartupError)
    assert bench.source.calls == [("abandon", 1)]
    assert bench.fleet.children == {}


@of(startup_timeout=5.0)
def test_an_initializer_that_hangs_breaks_the_pool_and_is_killed(bench: Bench) -> None:
    """No crash: it was killed on purpose."""
    job = bench.spawn()
    peer = bench.begin(1)
    bench.clock.advance(5)
    bench.run()

    assert bench.signals == [(1, signal.SIGKILL)]
    assert isinstance(job.outcomes[0], WorkerStartupError)
    bench.die(peer)
    assert bench.hub.budget.crashes == 0


@of(startup_timeout=5.0)
def test_a_child_that_is_ready_has_all_the_time(bench: Bench) -> None:
    """Its limit goes with its readiness."""
    bench.idle()
    bench.clock.advance(50)
    bench.run()

    assert bench.signals == []


def test_a_kill_that_comes_before_the_process_is_sent_when_it_is_there(bench: Bench) -> None:
    """And nothing weaker takes its place."""
    bench.spawn()
    bench.run()
    child = bench.child(1)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        child.send_signal(number)
    bench.begin(1)

    assert bench.signals == [(1, signal.SIGKILL)]


def test_a_child_that_is_ready_before_its_process_is_known_is_so_afterwards(bench: Bench) -> None:
    """Two descriptors tell of it. Nobody may see an idle child whose process is 0."""
    job = bench.spawn()
    bench.run()
    peer = bench.peer(1)
    peer.send(frame(FrameType.HELLO, 1001), frame(FrameType.READY))
    bench.run()
    assert (bench.child(1).state, bench.child(1).pid) == (ChildState.STARTING, 0)

    bench.source.tell(Started(1, 1001, os.dup(peer.alive)))
    bench.run()

    (number,) = peer.jobs()
    peer.answer(number)
    bench.run()
    assert job.outcomes == [None]
    assert (bench.child(1).state, bench.child(1).pid) == (ChildState.IDLE, 1001)
