"""Jobs that wait for a free slot, first in, first out.

Owns: the order of waiting jobs, nothing else.
Threads: none of its own. `push` may be called by anybody, without a lock: it is one atomic
append. Everything else is called with the pool's lock held.
Invariant: a job waits at most once, and never again after `pop` gave it out. A job that is
over before its turn stays as an empty shell until it is passed over or swept out: taking
it out is O(1) on average, and the shells are never more than the living, plus a few.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("JobQueue", "QueuedJob")

_SWEEP_FROM: Final = 64  # fewer shells than this are not worth a sweep


class QueuedJob(Protocol):
    """What the queue asks of a job."""

    def is_over(self) -> bool:
        """Tell whether the job has an outcome: it need not run any more."""
        ...

    def claim(self, slot: Any) -> bool:  # noqa: ANN401 - Any: a slot, of which a queue knows nothing
        """Begin to run on *slot*; False where the job is over."""
        ...


JobT = TypeVar("JobT", bound=QueuedJob)


class JobQueue(Generic[JobT]):
    """Waiting jobs; see the module for who may call what."""

    __slots__ = ("_jobs", "_shells", "push")

    def __init__(self) -> None:
        self._jobs: deque[JobT] = deque()
        # Protected by the pool's lock. Counts each shell from `note_over` until it is taken out,
        # also one that is over before it is pushed: so nothing here ever sets it back to 0.
        self._shells = 0
        self.push: Callable[[JobT], None] = self._jobs.append

    def __len__(self) -> int:
        """Return how many jobs wait; shells do not count."""
        return max(len(self._jobs) - self._shells, 0)

    def __bool__(self) -> bool:
        """Tell whether `pop` is worth a try."""
        return bool(self._jobs)

    def is_empty(self) -> bool:
        """Tell whether no job waits; shells in front are taken out on the way."""
        jobs = self._jobs
        while jobs and jobs[0].is_over():
            jobs.popleft()
            self._shells -= 1
        return not jobs

    def pop(self) -> JobT | None:
        """Take out the oldest job that is not over, or None where none waits."""
        jobs = self._jobs
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                return None
            if not job.is_over():
                return job
            self._shells -= 1

    def take(self, slot: object) -> JobT | None:
        """Do `pop` and claim the job for *slot* in one: the hot path of every job."""
        popleft = self._jobs.popleft
        while True:
            try:
                job = popleft()
            except IndexError:
                return None
            if job.claim(slot):
                return job
            self._shells -= 1

    def remove(self, job: JobT) -> bool:
        """Take one job out of the middle, to run it out of turn; False where `pop` was faster."""
        try:
            self._jobs.remove(job)
        except ValueError:
            return False
        return True

    def note_over(self) -> None:
        """One job has got its outcome while it waited, or was about to."""
        self._shells += 1
        if self._shells > _SWEEP_FROM and self._shells * 2 > len(self._jobs):
            self.snapshot()

    def drain(self) -> list[JobT]:
        """Take out all jobs; return those that are not over, oldest first."""
        jobs = self._jobs
        # `push` may append meanwhile: what comes now stays behind what is taken out.
        taken = [jobs.popleft() for _ in range(len(jobs))]
        waiting = [job for job in taken if not job.is_over()]
        self._shells -= len(taken) - len(waiting)
        return waiting

    def snapshot(self) -> list[JobT]:
        """Return the waiting jobs, oldest first; only shells are taken out."""
        waiting = self.drain()
        self._jobs.extendleft(reversed(waiting))
        return waiting
