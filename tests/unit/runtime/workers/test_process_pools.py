"""Pools of processes: their options, and the lives of their children."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import BrokenPoolError, UnpicklableError, WorkerStartupError
from runtime.testing import ManualClock
from runtime.workers import WorkerPool
from tests.unit.runtime.gates import GUARD, nothing
from tests.unit.runtime.workers.process_here import fail, note, noted, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runtime.far_gates import FarGate

pytestmark = pytest.mark.process


# ---- options ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"grase": 1.0}, TypeError, "no option grase: those of a pool of processes are"),
        ({"grace": "1"}, TypeError, "grace"),
        ({"grace": -1.0}, ValueError, "grace"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout"),
        ({"restart_window": None}, TypeError, "restart_window must be a number of seconds"),
        ({"restart_window": 0}, ValueError, "restart_window must be more than 0, got 0"),
        ({"min_workers": 2}, ValueError, r"min_workers is 2, more than max_workers \(1\)"),
        ({"min_workers": True}, TypeError, "min_workers must be a whole number"),
        ({"max_jobs_per_worker": 0}, ValueError, "max_jobs_per_worker must be 1 or more"),
        ({"max_jobs_per_worker": 1.5}, TypeError, "max_jobs_per_worker must be a whole number"),
        ({"max_rss_bytes": "1 GB"}, TypeError, "max_rss_bytes must be a whole number"),
        ({"max_message_bytes": 1}, ValueError, "max_message_bytes must be 4096 or more"),
        ({"max_depth": 0}, ValueError, "max_depth must be 1 or more"),
        ({"start_method": "fork"}, ValueError, "start_method must be one of"),
        ({"start_method": ["fork"]}, ValueError, "start_method must be one of"),
        ({"results": "some"}, ValueError, "results must be one of"),
        ({"preload": "numpy"}, TypeError, "preload must be a list"),
        ({"preload": ["os", 3]}, TypeError, r"list of names of modules, got 3 \(int\)"),
        ({"capture_output": 1}, TypeError, "capture_output must be True or False"),
        ({"finalizer": 5}, TypeError, "finalizer must be a function or None"),
        ({"initializer": 5}, TypeError, "initializer must be a function or None"),
    ],
)
def test_a_wrong_option_is_refused_when_the_pool_is_made(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """By name, with what was given."""
    with pytest.raises(error, match=text):
        WorkerPool(1, backend="process", **options)


@pytest.mark.parametrize("backend", [None, "thread", "inline"])
def test_options_of_processes_are_refused_elsewhere(backend: Any) -> None:
    """They would do nothing, and somebody would rely on them."""
    with pytest.raises(ValueError, match=r"grace, max_rss_bytes: for a pool of processes only"):
        WorkerPool(1, backend=backend, grace=1.0, max_rss_bytes=1 << 30)


@pytest.mark.parametrize("hook", ["initializer", "finalizer"])
def test_a_hook_that_cannot_travel_is_refused_when_the_pool_is_made(hook: str) -> None:
    """Not at the first job."""
    generator = (one for one in [1])
    options: dict[str, Any] = {hook: lambda: generator}

    with pytest.raises(UnpicklableError, match=f"the {hook}"):
        WorkerPool(1, backend="process", **options)


# ---- looking ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["inline", "thread", "process"])
def test_warm_up_starts_all_workers(backend: Any) -> None:
    """And says when they are ready; twice is fine."""
    with WorkerPool(2, backend=backend) as pool:
        assert pool.warm_up(GUARD) is True
        assert pool.statistics().workers in (2, 0 if backend == "inline" else 2)
        assert pool.warm_up(GUARD) is True


def test_warm_up_raises_where_they_do_not_get_ready(
    new_processes: Callable[..., WorkerPool],
) -> None:
    """The reason is the initializer's error, and it comes to every spawn, too."""
    pool = new_processes(2, initializer=fail, initargs=(1,), name="images")

    with pytest.raises(WorkerStartupError, match="images is broken: its initializer raised") as one:
        pool.warm_up(GUARD)
    assert isinstance(one.value.__cause__, ValueError)
    with pytest.raises(BrokenPoolError, match="images is broken"):
        pool.spawn(nothing).result(GUARD)


def test_statistics_show_the_children(
    new_processes: Callable[..., WorkerPool], far_gate: Callable[..., FarGate[Any]]
) -> None:
    """Who they are, what they do, and what they hold."""
    pool, gate = new_processes(2), far_gate()
    assert pool.statistics().children == ()
    pool.warm_up(GUARD)
    future = pool.spawn(gate, name="held")
    gate.wait_begun()

    found = pool.statistics()

    busy = next(child for child in found.children if child.state == "busy")
    idle = next(child for child in found.children if child.state == "idle")
    assert (found.workers, found.idle, found.running, found.queued) == (2, 1, 1, 0)
    assert busy.current_job == "worker 1 'held'"
    assert (idle.current_job, idle.current_age) == (None, None)
    assert busy.pid != idle.pid
    assert (busy.rss_bytes or 0) > 0
    gate.open()
    future.result(GUARD)
    assert sum(child.jobs_done for child in pool.statistics().children) == 1
    pool.shutdown(timeout=GUARD)
    assert pool.statistics().children == ()


# ---- coming and going ---------------------------------------------------------------------


def test_children_that_are_idle_for_long_leave(new_processes: Callable[..., WorkerPool]) -> None:
    """All but those that are to stay; a job that comes later gets a new one."""
    clock = ManualClock()
    pool = new_processes(3, clock=clock, idle_timeout=30.0, min_workers=1)
    pool.warm_up(GUARD)

    clock.advance(29.0)
    before = pool.statistics().workers
    clock.advance(2.0)
    wait_until(pool, lambda: pool._backend.counts().workers == 1)
    clock.advance(1000.0)

    assert before == 3
    assert pool.spawn(abs, args=(-1,)).result(GUARD) == 1
    assert pool.statistics().workers == 1


def test_the_last_idle_child_leaves_and_the_next_job_starts_another(
    new_processes: Callable[..., WorkerPool],
) -> None:
    """An idle pool need not hold anything."""
    clock = ManualClock()
    pool = new_processes(1, clock=clock, idle_timeout=30.0)
    first = pool.spawn(os.getpid).result(GUARD)

    clock.advance(31.0)
    wait_until(pool, lambda: not pool._backend.counts().workers)

    assert pool.spawn(os.getpid).result(GUARD) != first


def test_a_child_is_replaced_after_so_many_jobs(new_processes: Callable[..., WorkerPool]) -> None:
    """Exactly so many, also where they come all at once."""
    pool = new_processes(max_jobs_per_worker=3)

    futures = [pool.spawn(os.getpid) for _ in range(9)]
    pids = [future.result(GUARD) for future in futures]

    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    wait_until(pool, lambda: pool._backend.counts().recycled == 3)
    assert pool.statistics().restarts == 0


def test_a_child_that_holds_too_much_is_replaced(new_processes: Callable[..., WorkerPool]) -> None:
    """Between two jobs: nothing is lost."""
    pool = new_processes(max_rss_bytes=32 << 20)
    first = pool.spawn(os.getpid).result(GUARD)
    same = pool.spawn(os.getpid).result(GUARD)

    assert pool.spawn(functools.partial(note, b"x" * (64 << 20))).result(GUARD) is None

    assert same == first
    assert pool.spawn(os.getpid).result(GUARD) != first
    assert pool.statistics().recycled == 1


def test_initializer_and_finalizer_frame_the_life_of_each_child(
    new_processes: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """One before its first job, with arguments; the other after its last."""

    def leave() -> None:
        (tmp_path / str(os.getpid())).write_text(repr(noted()))

    pool = new_processes(2, initializer=note, initargs=("ready",), finalizer=leave)
    pool.warm_up(GUARD)
    pool.spawn(note, args=("job",)).result(GUARD)
    pids = {child.pid for child in pool.statistics().children}

    assert pool.shutdown(timeout=GUARD)

    left = {int(path.name): path.read_text() for path in tmp_path.iterdir()}
    assert left.keys() == pids
    assert sorted(left.values()) == ["['ready', 'job']", "['ready']"]


def test_a_finalizer_that_raises_stops_nobody(new_processes: Callable[..., WorkerPool]) -> None:
    """The results are there, and the child leaves."""
    pool = new_processes(finalizer=fail)

    assert pool.spawn(abs, args=(-1,)).result(GUARD) == 1
    assert pool.shutdown(timeout=GUARD) is True
