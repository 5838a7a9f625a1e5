"""How children leave: idle for long, closed pools, patience; and limits that nobody can watch."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_state import ChildEvent, ChildState, next_state
from runtime.backends.process.wire import FrameType
from runtime.errors import InvalidStateError, WorkerStartError
from tests.unit.runtime.backends.process.core_bench import Bench, bench_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend of two children that leave after ten seconds without a job."""
    options = {"max_workers": 2, "idle_timeout": 10.0, **getattr(request, "param", {})}
    with bench_of(monkeypatch, **options) as bench:
        yield bench


def of(**options: object) -> pytest.MarkDecorator:
    """Make the bench with these options."""
    return pytest.mark.parametrize("bench", [options], indirect=True)


def wait(bench: Bench, seconds: float) -> None:
    """Let time pass."""
    bench.clock.advance(seconds)
    bench.run()


def states(bench: Bench) -> list[str]:
    """Return where the children are."""
    return [child.state.value for child in bench.fleet.children.values()]


def test_children_leave_when_they_have_been_idle_for_long(bench: Bench) -> None:
    """Each in its own time."""
    first, second = bench.idle(2)
    wait(bench, 5)
    bench.spawn()
    second.answer(second.jobs()[0])
    bench.run()
    wait(bench, 5)
    assert states(bench) == ["leaving", "idle"]
    assert first.read()[-1].type == FrameType.LEAVE
    wait(bench, 4.9)
    assert states(bench) == ["leaving", "idle"]
    wait(bench, 0.1)
    assert states(bench) == ["leaving", "leaving"]
    for peer in (first, second):
        bench.die(peer, 0)
    assert bench.fleet.leaving == 0
    assert bench.hub.budget.crashes == 0


@of(min_workers=1)
def test_as_many_as_the_pool_wants_stay(bench: Bench) -> None:
    """However long nothing is to be done; and the next that comes lets the other one go."""
    bench.idle(2)
    wait(bench, 100)
    assert sorted(states(bench)) == ["idle", "leaving"]
    wait(bench, 1)
    assert sorted(states(bench)) == ["idle", "leaving"]


@of(idle_timeout=None)
def test_without_a_limit_they_stay(bench: Bench) -> None:
    """For ever."""
    bench.idle(2)
    wait(bench, 1e6)
    assert states(bench) == ["idle", "idle"]


def test_a_child_that_does_not_leave_is_killed(bench: Bench) -> None:
    """Its finalizer hangs; that is no crash."""
    first, _ = bench.idle(2)
    wait(bench, 10)
    assert bench.signals == []
    wait(bench, 5)
    assert (1, signal.SIGKILL) in bench.signals
    bench.die(first)
    assert bench.hub.budget.crashes == 0


def test_a_job_that_comes_when_all_leave_gets_a_new_child(bench: Bench) -> None:
    """Those that leave count, for they are still there: it waits for the first to be gone."""
    first, _ = bench.idle(2)
    wait(bench, 10)
    job = bench.spawn()
    bench.run()
    assert sorted(bench.source.peers) == [1, 2]
    bench.die(first, 0)
    bench.ready(3)

    assert job.slot is bench.child(3)


def test_a_closed_pool_ends_though_children_were_wanted_and_none_was_started(bench: Bench) -> None:
    """All its jobs were cancelled before the collector came to start one."""
    jobs = [bench.spawn() for _ in range(2)]
    for job in jobs:
        bench.cancel(job)
    bench.backend.close()
    bench.run()

    assert not bench.hub._is_needed()
    assert bench.source.peers == {}
    bench.hub.at_end()
    assert bench.backend.join(0)


def test_a_closed_pool_does_what_it_has_and_refuses_the_rest(bench: Bench) -> None:
    """A job that comes while it closes ends in one way or the other."""
    first, _ = bench.idle(2)
    jobs = [bench.spawn() for _ in range(3)]
    drained = bench.backend.drain()
    for job in drained:
        assert job.refuse(ValueError("cancelled"))
    assert drained == jobs[2:] or set(drained) == set(jobs)
    bench.backend.close()
    bench.run()
    del first
    with pytest.raises(RuntimeError, match="shut down"):
        bench.spawn()


def test_a_pool_that_never_had_a_child_closes_at_once(bench: Bench) -> None:
    """Nothing is there that could end."""
    bench.backend.close()
    assert bench.backend.join(0)
    assert bench.collector.requests == type(bench.collector.requests)()


# ---- warming up -------------------------------------------------------------------


def warm(bench: Bench) -> bool:
    """Tell whether all are ready, without waiting."""
    return bench.backend.warm_up(0)


def test_warm_up_starts_all_and_replaces_who_leaves_meanwhile(bench: Bench) -> None:
    """It must not wait for a child that nobody would start."""
    first, _ = bench.idle(2)
    wait(bench, 10)
    bench.backend._note_warming(1)
    try:
        bench.die(first, 0)
        bench.ready(3)
        assert [bench.child(number).state for number in (2, 3)] == [
            ChildState.LEAVING,
            ChildState.IDLE,
        ]
        bench.die(bench.peer(2), 0)
        bench.ready(4)
    finally:
        bench.backend._note_warming(-1)

    assert warm(bench)


def test_warm_up_says_when_nothing_can_be_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a first one."""
    bench.source.refusal = WorkerStartError("no memory")
    monkeypatch.setattr(bench.collector, "ask", lambda request: request())

    with pytest.raises(WorkerStartError, match="no memory"):
        warm(bench)
    bench.source.refusal = None


def test_warm_up_of_a_closed_pool_is_done(bench: Bench) -> None:
    """There is nothing to wait for."""
    bench.backend.close()
    assert warm(bench)


# ---- nobody to watch the time -------------------------------------------------------------------


@pytest.mark.parametrize("way", ["add", "add_in"])
def test_limits_that_nobody_can_watch_stop_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """No thread is to be had: children start, work, leave; and later the limits count again."""

    def refuse(_when: float, _call: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(bench.hub.deadlines, way, refuse)
        first, second = bench.idle(2)
        for _ in range(40):
            bench.spawn()
        for _ in range(60):
            for peer in (first, second):
                for number in peer.jobs():
                    peer.answer(number)
            bench.run()
        assert bench.backend.wait_idle(0)
        assert not bench.hub._looks_soon
    bench.spawn()
    second.answer(*second.jobs())
    first.answer(*first.jobs())
    bench.run()
    wait(bench, 10)
    assert "leaving" in states(bench)


# ---- Ctrl-C -----------------------------------------------------------------------------------


def test_what_a_spawn_that_was_interrupted_did_not_send_is_sent_by_the_collector(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its child would wait for ever, and whoever shuts down with it."""
    _, second = bench.idle(2)

    def interrupt(_touched: object, *, wanted: bool) -> None:
        raise KeyboardInterrupt(wanted)

    with monkeypatch.context() as patch:
        patch.setattr(bench.hub, "send", interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.spawn()
    assert second.jobs() == []

    bench.run()

    assert second.jobs() == [2]


# ---- a forked child of the pool's process --------------------------------------------------------


def test_in_a_forked_process_nothing_of_the_parent_s_is_left(bench: Bench) -> None:
    """Its lifelines above all: they would keep the children alive."""
    first, second = bench.idle(2)
    running, other, waiting = (bench.spawn() for _ in range(3))
    lock = threading.RLock()

    lost = bench.backend.reset_after_fork(lock)

    assert set(lost) == {running, other, waiting}
    assert bench.source.calls == ["forget"]
    assert first.is_orphan()
    assert second.is_orphan()
    assert bench.backend._hub.lock is lock
    assert bench.backend.counts().workers == 0


# ---- the states -------------------------------------------------------------------


def test_the_dead_stay_dead_and_those_that_leave_do_not_come_back() -> None:
    """Whatever happens."""
    for event in ChildEvent:
        with pytest.raises(InvalidStateError, match="a child that is dead"):
            next_state(ChildState.DEAD, event)
        if event is not ChildEvent.GIVE:
            assert next_state(ChildState.LEAVING, event) in {ChildState.LEAVING, ChildState.DEAD}
    for state in set(ChildState) - {ChildState.DEAD}:
        assert next_state(state, ChildEvent.DIE) is ChildState.DEAD
