"""Jobs that wait for a free slot, first in, first out.

Owns: the order of waiting jobs, nothing else.
Threads: none of its own. `push` may be called by anybody, without a lock: it is one atomic
append. Everything else is called with the pool's lock held.
Invariant: a job waits at most once, and never again after `pop` gave it out. A job that is
over before its turn stays as an empty shell until it is passed over or swept out: taking
it out is O(1) on average, and the shells are never more than the living, plus a few.
Invariant: at each moment in which an exception may come (out of a signal handler, at the
recursion limit) every living job is in the deque: what takes many out at once, or puts others in
their place, is one call into C, after everything that can fail.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, islice, repeat, starmap
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    __slots__ = ("_changes", "_jobs", "_shells", "push", "put_back")

    def __init__(self) -> None:
        self._jobs: deque[JobT] = deque()
        # Protected by the pool's lock. Counts each shell from `note_over` until it is taken out,
        # also one that is over before it is pushed: so nothing here ever sets it back to 0.
        self._shells = 0
        # Protected by the pool's lock. Tells what looks for long whether a signal handler or a
        # finalizer, inside of the lock on the same thread, took something out meanwhile. Not
        # counted: `push`, which only appends, and `take`, which no such code can call.
        self._changes = 0
        self.push: Callable[[JobT], None] = self._jobs.append
        # For one that `pop` or `remove` took out and that could not be run: it is next.
        self.put_back: Callable[[JobT], None] = self._jobs.appendleft

    def __len__(self) -> int:
        """Return how many jobs wait; shells do not count."""
        return max(len(self._jobs) - self._shells, 0)

    def __bool__(self) -> bool:
        """Tell whether `pop` is worth a try."""
        return bool(self._jobs)

    def is_empty(self) -> bool:
        """Tell whether no job waits; shells in front are taken out on the way."""
        jobs = self._jobs
        while jobs:
            if not self._is_shell_in_front():
                return False
        return True

    def pop(self) -> JobT | None:
        """Take out the oldest job that is not over, or None where none waits."""
        jobs = self._jobs
        while jobs:
            if not self._is_shell_in_front():
                self._changes += 1
                return jobs.popleft()
        return None

    def _is_shell_in_front(self) -> bool:
        """Tell whether the oldest job is over; then it is taken out."""
        jobs = self._jobs
        before, job = self._changes, jobs[0]
        if not job.is_over():
            return False
        if self._changes == before:  # no call from here on: no signal comes between
            self._changes += 1
            self._shells -= 1
            jobs.popleft()  # `job` keeps it: nothing is freed here
        return True

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
        self._changes += 1
        try:
            self._jobs.remove(job)
        except ValueError:
            return False
        return True

    def note_over(self) -> None:
        """One job has got its outcome while it waited, or was about to."""
        self._shells += 1
        if self._shells > _SWEEP_FROM and self._shells * 2 > len(self._jobs):
            self._sweep()

    def drain(self) -> list[JobT]:
        """Take out all jobs; return those that are not over, oldest first.

        Where this raises, all are still there. From then on they are the caller's.
        """
        jobs = self._jobs
        while True:
            before, found = self._changes, self._copy()
            waiting = [job for job in found if not job.is_over()]
            take_out, put_back = self._dropping(len(found)), reversed(waiting)
            try:
                if self._changes == before:  # no call from here to the next: see `_sweep`
                    self._changes += 1
                    self._shells -= len(found) - len(waiting)
                    any(take_out)
                    return waiting
            except BaseException:
                if found and not (jobs and jobs[0] is found[0]):
                    jobs.extendleft(put_back)
                raise

    def snapshot(self) -> list[JobT]:
        """Return the waiting jobs, oldest first; nothing is taken out."""
        return [job for job in self._copy() if not job.is_over()]

    def _sweep(self) -> None:
        """Take out the shells: the living take the place of all that was there."""
        jobs = self._jobs
        before, found = self._changes, self._copy()  # keeps the shells: nothing is freed below
        waiting = [job for job in found if not job.is_over()]
        shells = len(found) - len(waiting)
        swap = chain(self._dropping(len(found)), map(jobs.appendleft, reversed(waiting)))
        # `push` may append meanwhile: that stays behind. Where something was taken out meanwhile
        # the next sweep does it. No signal comes between the next lines: only a call looks for one.
        if self._changes == before:
            self._changes += 1
            self._shells -= shells
            any(swap)  # all of it: `appendleft` gives None

    def _copy(self) -> list[JobT]:
        """Return all that is there, shells too, as of one moment."""
        while True:
            try:
                return list(self._jobs)
            except RuntimeError:  # somebody appended: without the GIL, or a finalizer
                continue

    def _dropping(self, count: int) -> Iterator[JobT]:
        """Return an iterator that gives nothing, and takes out the oldest *count* when asked."""
        return islice(starmap(self._jobs.popleft, repeat((), count)), count, count)
