"""What a backend does in a forked child, step by step; the whole of it is in the fault tests."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import sys
import threading

import pytest

from runtime.backends.base import end_forked_child
from runtime.backends.interrupts import Interrupts
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import backend_of, crew_of
from tests.unit.runtime.gates import GUARD, nothing


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (SystemExit(), 0),
        (SystemExit(3), 3),
        (SystemExit("text"), 1),
        (ValueError("in the child"), 1),
    ],
)
def test_a_child_ends_as_a_script_would(
    error: BaseException | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says how its function ended; what it printed is not lost."""
    seen: list[object] = []

    def leave(code: int) -> None:
        raise InterruptedError(code)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sys, "excepthook", lambda *facts: seen.append(facts[1]))

    with pytest.raises(InterruptedError) as left:
        end_forked_child(error)

    assert left.value.args == (status,)
    assert seen == ([error] if isinstance(error, ValueError) else [])


def test_a_pool_is_as_new_and_gives_up_the_jobs_of_the_parent() -> None:
    """They are told to the caller; a new lock is used from then on."""
    with WorkerPool(1) as pool:
        crew, backend = crew_of(pool), backend_of(pool)
        crew.allowed = 0  # nobody takes it
        waiting = pool.spawn(nothing)

        lost = backend.reset_after_fork(threading.RLock())

        assert lost == [waiting]
        assert crew_of(pool) is not crew
        assert backend.jobs() == []
        pool._submit = backend.submit


def test_an_inline_pool_keeps_what_its_own_thread_runs() -> None:
    """That goes on in the child; what other threads ran is lost there."""
    pool = WorkerPool(backend="inline")

    def reset() -> object:
        return pool._backend.reset_after_fork(pool._core.lock)

    assert pool.spawn(reset).result(0) == []
    assert pool.wait_idle(0)


def test_an_open_window_gets_a_lock_of_its_own() -> None:
    """The parent's may have been held by a thread that is not there."""
    interrupts = Interrupts()
    before = interrupts._lock

    interrupts.reset_after_fork()

    assert interrupts._lock is not before


def test_an_interruptible_job_may_wait_and_go_on() -> None:
    """Nobody cancels it: its window is shut for the wait, and opened again."""
    with WorkerPool(1) as pool:

        def outer() -> tuple[str, bool]:
            inner = pool.spawn(lambda: "inner").result()
            (slot,) = crew_of(pool).slots
            assert slot.interrupts is not None
            return inner, slot.interrupts._job is slot.job

        assert pool.spawn(outer, interrupt=True).result(GUARD) == ("inner", True)
