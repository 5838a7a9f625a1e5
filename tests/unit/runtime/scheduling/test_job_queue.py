"""`JobQueue`: order, what is over before its turn, and the count."""

from __future__ import annotations

import pytest

from runtime.scheduling import JobQueue


class Job:
    """All that the queue asks of one."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.over = False
        self.slot: object = None

    def is_over(self) -> bool:
        """As told."""
        return self.over

    def claim(self, slot: object) -> bool:
        """Remember where, unless over."""
        self.slot = slot
        return not self.over


@pytest.fixture
def queue() -> JobQueue[Job]:
    return JobQueue()


def fill(queue: JobQueue[Job], count: int) -> list[Job]:
    jobs = [Job(name) for name in range(count)]
    for job in jobs:
        queue.push(job)
    return jobs


def end(queue: JobQueue[Job], job: Job) -> None:
    job.over = True
    queue.note_over()


def test_first_in_first_out(queue: JobQueue[Job]) -> None:
    """Nobody is overtaken."""
    jobs = fill(queue, 3)

    assert [queue.pop(), queue.pop(), queue.pop(), queue.pop()] == [*jobs, None]


def test_what_is_over_is_passed_over(queue: JobQueue[Job]) -> None:
    """It is neither given out nor counted."""
    first, second, third = fill(queue, 3)
    end(queue, first)
    end(queue, second)

    assert len(queue) == 1
    assert queue.pop() is third
    assert (queue.pop(), len(queue), bool(queue)) == (None, 0, False)


def test_a_job_taken_out_of_turn_does_not_come_again(queue: JobQueue[Job]) -> None:
    """It runs in place, for somebody who waits for it."""
    first, second = fill(queue, 2)

    assert (queue.remove(second), queue.remove(second)) == (True, False)
    assert (queue.pop(), queue.pop()) == (first, None)


def test_is_empty_means_that_nobody_waits(queue: JobQueue[Job]) -> None:
    """Shells are nobody."""
    first, second = fill(queue, 2)
    before = queue.is_empty()
    end(queue, first)
    end(queue, second)

    assert (before, queue.is_empty(), len(queue)) == (False, True, 0)


def test_drain_takes_all_and_gives_the_living(queue: JobQueue[Job]) -> None:
    """Afterwards the count starts from nothing."""
    jobs = fill(queue, 4)
    end(queue, jobs[1])

    assert queue.drain() == [jobs[0], jobs[2], jobs[3]]

    fill(queue, 2)
    assert len(queue) == 2


def test_snapshot_takes_nothing_away(queue: JobQueue[Job]) -> None:
    """But shells."""
    jobs = fill(queue, 3)
    end(queue, jobs[0])

    assert queue.snapshot() == jobs[1:]
    assert queue.snapshot() == jobs[1:]
    assert (len(queue), queue.pop()) == (2, jobs[1])


def test_shells_are_swept_out_before_they_outnumber_the_living(queue: JobQueue[Job]) -> None:
    """Memory stays in proportion to what waits, whatever is cancelled out of the middle."""
    jobs = fill(queue, 1000)

    for job in jobs[10:]:
        end(queue, job)

    assert len(queue._jobs) <= 2 * 64 + 10
    assert (len(queue), queue.snapshot()) == (10, jobs[:10])


def test_a_job_that_is_over_before_it_is_pushed_keeps_the_count_right(
    queue: JobQueue[Job],
) -> None:
    """Its deadline may pass while it is being spawned, and a sweep may come in between."""
    early = Job(0)
    end(queue, early)
    queue.snapshot()
    queue.push(early)
    late = Job(1)
    queue.push(late)

    assert len(queue) == 1
    assert queue.pop() is late
    assert (queue.pop(), len(queue)) == (None, 0)


def test_a_job_that_is_taken_before_it_is_noted_keeps_the_count_right(
    queue: JobQueue[Job],
) -> None:
    """The slot passes it over before the one who cancelled it says so."""
    first, _second = fill(queue, 2)
    first.over = True
    taken = queue.pop()
    fill(queue, 3)

    queue.note_over()

    assert taken is not None
    assert len(queue) == 3


def test_take_pops_and_claims_in_one(queue: JobQueue[Job]) -> None:
    """What refuses to be claimed is over, and is passed over like any shell."""
    first, second = fill(queue, 2)
    end(queue, first)
    slot = object()

    assert queue.take(slot) is second
    assert second.slot is slot
    assert (queue.take(slot), len(queue)) == (None, 0)
