"""Who gets a job: the rules of giving, sending ahead and taking back. Its children are fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_state import ChildState
from runtime.backends.process.fleet import AHEAD, MOST_AHEAD, SOON
from runtime.backends.process.page import STARTED
from runtime.backends.process.wire import FrameType, frame
from tests.unit.runtime.backends.process.core_bench import Bench, FakeJob, bench_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.backends.base import JobSink


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of two children, where the test says nothing else."""
    options = {"max_workers": 2, **getattr(request, "param", {})}
    with bench_of(monkeypatch, **options) as bench:
        yield bench


def one(count: int = 1, **options: object) -> pytest.MarkDecorator:
    """Make the bench for *count* children."""
    return pytest.mark.parametrize("bench", [{"max_workers": count, **options}], indirect=True)


# ---- giving -------------------------------------------------------------------------------


def test_a_child_is_asked_for_where_none_is_idle_and_gets_the_job_when_it_is_ready(
    bench: Bench,
) -> None:
    """Not before: its initializer may still run."""
    job = bench.spawn()
    peer = bench.begin(1)
    assert [one.type for one in peer.read()] == [FrameType.PLAN]
    assert bench.child(1).state is ChildState.STARTING
    assert job.state == "pending"

    peer.send(frame(FrameType.READY))
    bench.run()

    assert peer.jobs() == [1]
    assert job.state == "running"
    assert bench.child(1).state is ChildState.BUSY


def test_the_child_that_was_busy_last_gets_the_next_job(bench: Bench) -> None:
    """What it needs is still in the caches; the others may leave."""
    first, second = bench.idle(2)
    bench.spawn()
    assert second.jobs() == [2]
    bench.spawn()
    assert first.jobs() == [2]
    first.answer(2)
    bench.run()
    second.answer(2)
    bench.run()

    bench.spawn()

    assert second.jobs() == [3]
    assert first.jobs() == []


def test_an_idle_child_comes_before_one_that_is_busy(bench: Bench) -> None:
    """Nothing is sent ahead while somebody has nothing to do."""
    first, second = bench.idle(2)
    for _ in range(2):
        bench.spawn()

    assert [first.jobs(), second.jobs()] == [[2], [2]]


@one(3)
def test_no_more_children_are_asked_for_than_are_allowed(bench: Bench) -> None:
    """However many jobs wait."""
    for _ in range(10):
        bench.spawn()
    bench.run()

    assert sorted(bench.source.peers) == [1, 2, 3]
    assert bench.fleet.wanted == 0
    assert bench.fleet.is_full


@one(8)
def test_no_more_children_are_asked_for_than_jobs_wait(bench: Bench) -> None:
    """Those that are coming count."""
    bench.spawn()
    bench.spawn()
    bench.run()
    bench.spawn()
    bench.run()

    assert len(bench.source.peers) == 3


# ---- sending ahead ------------------------------------------------------------------------


@one()
def test_nothing_is_sent_ahead_to_a_child_whose_jobs_take_long(bench: Bench) -> None:
    """It may be the next one that takes long, and another child may come to be idle."""
    bench.spawn()
    (peer,) = bench.ready(1)
    peer.jobs()
    peer.answer(1, took=50_000)
    bench.run()
    for _ in range(5):
        bench.spawn()

    assert peer.jobs() == [2]


@one()
def test_what_is_sent_ahead_is_bounded_by_the_time_that_it_takes(bench: Bench) -> None:
    """A millisecond or two, whatever the number is."""
    (peer,) = bench.idle()
    for _ in range(1000):
        bench.spawn()
    peer.jobs()
    peer.answer(2, took=100)
    bench.run()

    child = bench.child(1)
    assert child.cost is not None
    assert 1 < len(child.in_flight) <= 1 + AHEAD / child.cost
    assert len(child.in_flight) <= 1 + MOST_AHEAD


@one()
def test_one_long_job_counts_at_once(bench: Bench) -> None:
    """An average would forgive it, and the next one waits behind its like."""
    (peer,) = bench.idle()
    for _ in range(40):
        bench.spawn()
    peer.jobs()
    child = bench.child(1)
    assert child.depth > 1

    peer.answer(2, took=100_000)
    bench.run()

    assert child.depth == 1
    assert child.cost == pytest.approx(0.1)


@one(2, max_jobs_per_worker=3)
def test_a_child_is_not_given_more_than_it_may_do(bench: Bench) -> None:
    """What is sent ahead counts."""
    jobs = [bench.spawn() for _ in range(12)]
    first, second = bench.ready(1, 2)
    given = 0
    for _ in range(8):
        for peer in (first, second):
            numbers = peer.jobs()
            given += len(numbers)
            for number in numbers:
                peer.answer(number)
                bench.run()

    assert given == 6
    assert sum(job.is_over() for job in jobs) == 6
    assert bench.fleet.recycled == 2
    assert [bench.child(number).state for number in (1, 2)] == [ChildState.LEAVING] * 2
    assert first.frames[-1].type == FrameType.LEAVE


# ---- a long job ---------------------------------------------------------------------------


def test_a_long_job_never_delays_a_job_behind_it_while_another_child_is_idle(bench: Bench) -> None:
    """What was sent behind it is taken back as soon as somebody has nothing to do."""
    first, second = bench.idle(2)
    jobs = [bench.spawn() for _ in range(40)]
    long, quick = first, second
    long_numbers = long.jobs()
    long.begin(long_numbers[0])
    finished: set[int] = set()
    for _ in range(200):  # the quick one does whatever it gets
        for number in quick.jobs():
            if quick.begin(number):
                quick.answer(number)
            else:
                quick.send(frame(FrameType.SKIPPED, number))
            finished.add(number)
            bench.run()
        bench.clock.advance(SOON)  # nobody has to wait for more than this
        bench.run()

    running = [job for job in jobs if not job.is_over()]
    assert len(running) == 1
    assert running[0].slot is bench.child(1)
    assert bench.child(2).state is ChildState.IDLE


def test_what_is_worth_it_is_taken_back_at_once(bench: Bench) -> None:
    """Ten jobs of a millisecond wait for nobody's clock."""
    first, second = bench.idle(2)
    child = bench.child(1)
    jobs = [bench.spawn() for _ in range(2)]
    first.jobs()
    with bench.hub.lock:
        child.depth, child.cost = 20, 1e-3
    more = []
    for _ in range(10):
        job = FakeJob(100)
        job.work = jobs[0].work
        with bench.hub.lock:
            child.give(job, None)
        more.append(job)
    first.begin(2)
    second.jobs()

    second.answer(2)
    bench.run()

    assert len(child.in_flight) < 11
    assert len(second.jobs()) >= 1


def test_a_job_that_was_skipped_is_run_again_elsewhere(bench: Bench) -> None:
    """Both sides gave way: the child says so, and the job goes to the next who can take it."""
    first, second = bench.idle(2)
    job = bench.spawn()
    other = bench.spawn()
    (number,) = second.jobs()
    assert second.page.words[STARTED] == number - 1
    second.begin(number)
    with bench.hub.lock:
        assert bench.child(2).take_back() == []

    second.send(frame(FrameType.SKIPPED, number))
    bench.run()

    assert not job.is_over()
    assert second.jobs() == [number + 1]
    assert job.slot is bench.child(2)
    del other, first


# ---- is_full ------------------------------------------------------------------------------


@one()
def test_is_full_is_taken_back_before_the_queue_is_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who pushes after that look finds it unset, and looks itself: no job is left lying."""
    (peer,) = bench.idle()
    bench.spawn()
    bench.spawn()
    assert bench.fleet.is_full or bench.child(1).in_flight
    seen: list[bool] = []
    take = bench.fleet._take_again

    def look() -> JobSink | None:
        seen.append(bench.fleet.is_full)
        return take()

    monkeypatch.setattr(bench.fleet, "_take_again", look)
    bench.fleet.is_full = True
    peer.jobs()

    peer.answer(2)
    bench.run()
    peer.answer(*peer.jobs()[:1])
    bench.run()
    bench.spawn()

    assert not any(seen)


@one()
def test_shells_alone_make_nobody_wait(bench: Bench) -> None:
    """Jobs that were cancelled while they waited: the next one is seen all the same."""
    bench.spawn()
    waiting = [bench.spawn() for _ in range(5)]
    for job in waiting:
        bench.cancel(job)
    (peer,) = bench.ready(1)
    peer.answer(*peer.jobs())
    bench.run()

    last = bench.spawn()

    assert last.state == "running"
    assert bench.fleet.queue.is_empty()


# ---- looking ------------------------------------------------------------------------------


def test_jobs_and_counts_tell_of_all_that_there_is(bench: Bench) -> None:
    """Waiting, running, sent ahead, abandoned, each in its place."""
    first, _ = bench.idle(2)
    running = [bench.spawn() for _ in range(2)]
    waiting = bench.spawn()
    first.begin(first.jobs()[0])
    bench.clock.advance(2.0)
    bench.cancel(running[1])

    counts = bench.backend.counts()

    assert counts.workers == 2
    assert counts.idle == 0
    assert counts.running == 1
    assert counts.queued == 1
    assert [label for label, _ in counts.abandoned] == [running[1].label]
    assert {view.state for view in counts.children} == {"busy", "abandoned"}
    assert set(bench.backend.jobs()) == {running[0], waiting}
    assert not bench.backend.wait_idle(0)


def test_a_closed_fleet_has_ended_when_the_last_child_has_gone(bench: Bench) -> None:
    """And when what started them is closed."""
    peers = bench.idle(2)
    bench.backend.close()
    bench.run()
    assert [peer.read()[-1].type for peer in peers] == [FrameType.LEAVE] * 2
    assert not bench.backend.join(0)

    for peer in peers:
        bench.die(peer, 0)
    bench.hub.at_end()

    assert bench.backend.join(0)
    assert bench.source.calls == ["close"]
    assert bench.fleet.leaving == 0


def test_a_result_that_hangs_keeps_nobody_from_shutting_down_once_its_job_is_over(
    bench: Bench,
) -> None:
    """Unpickling may take for ever; its limit has come."""
    job = FakeJob(1)
    bench.fleet.settling.add(job)
    assert not bench.fleet.is_idle()
    job.state = "over"
    assert bench.fleet.is_idle()
    bench.backend.close()
    assert bench.backend.join(0)
