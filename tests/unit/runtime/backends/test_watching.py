"""Waiting for a condition of a backend."""

from __future__ import annotations

import threading

from runtime.async_runtime.running import running
from runtime.backends.watching import Watchers
from tests.unit.runtime.gates import GUARD


def test_a_condition_that_holds_needs_no_waiting() -> None:
    """Not even where there is no time at all."""
    watchers = Watchers(threading.RLock())

    assert watchers.wait(lambda: True, 0)
    assert not watchers


def test_a_condition_that_does_not_come_true_ends_by_the_limit() -> None:
    """A limit of zero only looks."""
    watchers = Watchers(threading.RLock())

    assert not watchers.wait(lambda: False, 0)
    assert not watchers.wait(lambda: False, 0.001)
    assert not watchers


def test_a_change_between_the_look_and_the_sleep_is_not_missed() -> None:
    """The waiter is in the list before it looks: the change finds it there."""
    watchers = Watchers(threading.RLock())
    looks: list[bool] = []

    def condition() -> bool:
        looks.append(bool(watchers))
        if len(looks) == 1:
            watchers.tell()  # right after it looked, before it sleeps
            return False
        return True

    assert watchers.wait(condition, GUARD)
    assert looks == [True, True]


def test_a_wait_inside_of_a_job_is_told_to_its_pool() -> None:
    """The pool may lend a thread meanwhile, as for any other wait."""
    watchers = Watchers(threading.RLock())
    told: list[float | None] = []

    class Blocker:
        def wait(
            self,
            future: object,  # noqa: ARG002 - its shape
            limit: float | None,
            block: object,  # noqa: ARG002 - its shape
            needed: object = None,  # noqa: ARG002 - its shape
        ) -> bool:
            told.append(limit)
            return True

    before, running.blocker = running.blocker, Blocker()
    try:
        answers = iter((False, True))
        assert watchers.wait(lambda: next(answers), None)
    finally:
        running.blocker = before

    assert told == [None]
