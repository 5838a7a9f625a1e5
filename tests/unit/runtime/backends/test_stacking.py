"""A job on top of another: what an exception between two steps of that leaves behind."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends import stacking
from runtime.backends.headroom import check_headroom, has_headroom
from runtime.workers import WorkerPool
from runtime.workers.job import WorkerFuture
from tests.unit.runtime.backends.inside import crew_of, wait_until_back
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable


def _at_depth(depth: int, func: Callable[[], object]) -> object:
    return func() if depth == 0 else _at_depth(depth - 1, func)


def test_headroom_is_looked_for_and_not_guessed() -> None:
    """Plenty here; none just below the limit."""
    check_headroom()
    assert has_headroom()

    found: list[bool] = []

    def to_the_end() -> None:
        found.append(has_headroom())
        to_the_end()

    with pytest.raises(RecursionError):
        to_the_end()
    assert found[0]
    assert not found[-1]


def test_a_wait_at_any_depth_loses_neither_job_nor_thread() -> None:
    """Wherever the limit strikes: the inner job ends, and no loan is left over."""
    with WorkerPool(1) as pool:
        limit = sys.getrecursionlimit()
        for depth in range(limit - 90, limit, 3):
            inner: list[Any] = []  # Any: futures

            def outer(depth: int = depth, inner: list[Any] = inner) -> object:  # Any: as above
                def spawn_and_wait() -> object:
                    inner.append(pool.spawn(lambda: 7))
                    return inner[0].result()

                try:
                    return _at_depth(depth, spawn_and_wait)
                except RecursionError:
                    return 7

            assert pool.spawn(outer).result(GUARD) == 7
            assert [job.result(GUARD) for job in inner] in ([], [7])
            wait_until_back(pool)
            assert (crew_of(pool).lent, crew_of(pool).alive <= 2) == (0, True), depth


@pytest.mark.parametrize("step", ["remove", "pop"])
def test_a_job_that_could_not_be_claimed_is_the_next_one(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken out of the queue already."""
    with WorkerPool(1) as pool:
        order: list[str] = []

        def fail(_slot: object, _job: object) -> bool:
            raise MemoryError

        def outer() -> str:
            first = pool.spawn(lambda: order.append("first"))
            pool.spawn(lambda: order.append("second"))
            (slot,) = crew_of(pool).slots
            monkeypatch.setattr(stacking, "_stack_up", fail)
            with pytest.raises(MemoryError):
                _ = (
                    stacking.run_in_place(slot, first)
                    if step == "remove"
                    else stacking.run_any_in_place(slot)
                )
            monkeypatch.undo()
            return "out"

        assert pool.spawn(outer).result(GUARD) == "out"
        assert pool.wait_idle(GUARD)
        assert order == ["first", "second"]


def test_a_job_whose_execution_breaks_off_fails_with_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claimed and not settled, it would be waited for until the end of time."""
    with WorkerPool(1) as pool:

        def outer() -> object:
            job = pool.spawn(lambda: 1)
            execute = WorkerFuture.execute

            def break_off(self: WorkerFuture[int]) -> None:
                if self is job:
                    raise MemoryError("no frame to be had")
                execute(self)

            monkeypatch.setattr(WorkerFuture, "execute", break_off)
            return job.exception()

        error = pool.spawn(outer).result(GUARD)
        monkeypatch.undo()

        assert isinstance(error, MemoryError)
        assert pool.spawn(lambda: 2).result(GUARD) == 2


def test_without_headroom_nothing_is_run_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is lent instead."""
    with WorkerPool(1) as pool:

        def outer() -> object:
            job = pool.spawn(lambda: 7)
            (slot,) = crew_of(pool).slots
            monkeypatch.setattr(stacking, "has_headroom", lambda: False)
            ran = stacking.run_in_place(slot, job), stacking.run_any_in_place(slot)
            return ran, job.result()

        assert pool.spawn(outer).result(GUARD) == ((False, False), 7)
