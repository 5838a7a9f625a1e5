"""Real threads, as eager to change places as can be: one outcome each, and nothing slips through.

What exactly must hold at each moment is asserted elsewhere, step by step; this looks for moments
that nobody has thought of.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.testing import race
from runtime.workers import HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.workers import WorkerFuture

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager_thread_switches")]


def fail() -> NoReturn:
    raise ValueError("of the member")


def test_cancelling_while_jobs_come_and_go_gives_each_one_outcome(pool: WorkerPool) -> None:
    """And the pool has counted exactly what the callers were told."""
    futures: list[WorkerFuture[None]] = []
    answers: list[bool] = []

    def spawn() -> None:
        futures.extend(pool.spawn(nothing, timeout=60.0) for _ in range(500))

    def cancel() -> None:
        while len(answers) < 300:
            answers.extend(future.cancel() for future in futures[-5:])

    race(spawn, cancel, cancel)
    for future in futures:
        future.exception(GUARD)
    assert pool.wait_idle(GUARD)

    found = pool.statistics()
    states = Counter(future.state for future in futures)
    assert found.cancelled == answers.count(True) == states[HandleState.CANCELLED]
    assert found.succeeded == states[HandleState.SUCCEEDED]
    assert (found.done, found.queued, found.running, found.abandoned) == (500, 0, 0, 0)
    assert {future.handle.outcome for future in futures} <= {Outcome.NEVER_RAN, Outcome.FINISHED}


def test_a_group_that_fails_while_it_is_spawned_leaves_no_member_behind(pool: WorkerPool) -> None:
    """Whichever moment the failure is seen at: when it is told, every member is over."""
    for position in range(300):
        funcs: list[Callable[[], None]] = [nothing] * 12
        funcs[position % 12] = fail

        group = Worker.spawn_all(funcs, pool=pool)

        error = group.exception(GUARD)
        assert isinstance(error, ValueError)
        assert all(job.is_over() for job in group.futures)
        told = sum(note.count("worker ") for note in error.__notes__ if "never" not in note)
        missing = sum(
            int(note.split()[2]) for note in error.__notes__ if note.startswith("never s")
        )
        assert told + missing == 12


def test_groups_that_succeed_lose_no_result(pool: WorkerPool) -> None:
    """The last of several at the same moment tells it, once."""
    for _ in range(200):
        group = Worker.spawn_all([partial(int, i) for i in range(10)], pool=pool)

        assert group.result(GUARD) == list(range(10))


def test_unordered_maps_lose_no_result_and_give_none_twice(pool: WorkerPool) -> None:
    """A job may end between any two steps of the consumer."""
    for _ in range(200):
        assert sorted(Worker.map(abs, range(20), ordered=False, pool=pool)) == list(range(20))
