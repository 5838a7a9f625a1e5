"""`JobQueue`: an exception that comes in the middle loses no job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.scheduling import JobQueue
from tests.unit.runtime.interrupts import AtSignals, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_JOBS = 150  # enough for a sweep
_LIVING = 40


class Job:
    """All that the queue asks of one."""

    def __init__(self, *, over: bool) -> None:
        self.over = over
        self.on_look: Callable[[], object] = lambda: None

    def is_over(self) -> bool:
        """As told."""
        self.on_look()
        return self.over

    def claim(self, _slot: object) -> bool:
        """Unless over."""
        return not self.over


def _filled() -> tuple[JobQueue[Job], list[Job]]:
    """Return a queue that the next `note_over` sweeps, and the living in it."""
    queue: JobQueue[Job] = JobQueue()
    jobs = [Job(over=index % 3 != 0 or index >= 3 * _LIVING) for index in range(_JOBS)]
    for job in jobs:
        queue.push(job)
    living = [job for job in jobs if not job.over]
    queue._shells = _JOBS - len(living) - 1
    return queue, living


ACTIONS: list[Callable[[JobQueue[Job]], object]] = [
    JobQueue.snapshot,
    JobQueue.drain,
    JobQueue.note_over,
    JobQueue.is_empty,
]


def _is_queue(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") == "runtime.scheduling.job_queue"


@pytest.mark.parametrize("action", ACTIONS)
def test_an_interrupt_at_any_step_leaves_every_job_in_its_place(
    action: Callable[[JobQueue[Job]], object],
) -> None:
    """Ctrl-C comes where it likes; who has a future of such a job would wait for ever."""
    step, steps_of_a_look = 1, 7  # every look at a job is like the others: some are enough
    while True:
        queue, living = _filled()

        if not interrupted(partial(action, queue), AtSignals(step, _is_queue)):
            break
        assert queue.snapshot() == living, step

        step += 1 if step < 100 else steps_of_a_look

    assert step > 4


@pytest.mark.parametrize("action", ACTIONS)
def test_a_job_that_raises_when_looked_at_takes_none_along(
    action: Callable[[JobQueue[Job]], object],
) -> None:
    """At the recursion limit any call may."""
    for index in (0, 1, 57, 117):
        queue, living = _filled()
        jobs = list(queue._jobs)

        def fail() -> None:
            raise RecursionError

        jobs[index].on_look = fail
        if action is not JobQueue.is_empty or index == 0:
            with pytest.raises(RecursionError):
                action(queue)
        jobs[index].on_look = lambda: None

        assert queue.snapshot() == living


def test_pop_leaves_the_job_that_raises() -> None:
    """It is looked at before it is taken out."""
    queue, living = _filled()

    def fail() -> None:
        raise RecursionError

    living[0].on_look = fail
    with pytest.raises(RecursionError):
        queue.pop()
    living[0].on_look = lambda: None

    assert queue.pop() is living[0]


@pytest.mark.parametrize("nested", [JobQueue.drain, JobQueue.pop, JobQueue.note_over])
def test_a_sweep_gives_way_to_what_a_signal_handler_takes_out_meanwhile(
    nested: Callable[[JobQueue[Job]], Any],  # Any: what it took out
) -> None:
    """The handler runs on the same thread, inside of the lock: nothing comes back from the dead."""
    queue, living = _filled()
    taken: list[Any] = []  # Any: as above

    def handler() -> None:
        living[-1].on_look = lambda: None
        found = nested(queue)
        taken.extend(found if isinstance(found, list) else [found])

    living[-1].on_look = handler
    queue.note_over()

    left = [job for job in living if job not in taken]
    assert queue.snapshot() == left
    assert [queue.pop() for _ in left] == left


def test_a_drain_starts_again_where_a_signal_handler_took_something_out() -> None:
    """Each job goes to one of the two."""
    queue, living = _filled()
    taken: list[Job | None] = []

    def handler() -> None:
        living[-1].on_look = lambda: None
        taken.append(queue.pop())

    living[-1].on_look = handler

    assert queue.drain() == living[1:]
    assert taken == living[:1]
    assert not queue


def test_what_is_pushed_during_a_sweep_stays_behind_the_others() -> None:
    """`push` needs no lock, so it comes at any moment."""
    queue, living = _filled()
    late = Job(over=False)

    def push() -> None:
        living[-1].on_look = lambda: None
        queue.push(late)

    living[-1].on_look = push
    queue.note_over()

    assert list(queue._jobs) == [*living, late]
    assert len(queue) == len(living) + 1
