"""Jobs on threads: a queue, and a crew of threads that take from it.

Here is what a pool asks for; how the threads come and go is in `crew`, what one of them does in
`slot`. Hot path: `ThreadBackend.submit`.
Source: worker-api-spec.md, sections 4 to 8; ADR-006.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from runtime.backends.base import BackendCounts, Capabilities, JobSink, PoolLock, this_thread
from runtime.backends.crew import Crew
from runtime.backends.roster import CrewOptions
from runtime.backends.slot import Slot
from runtime.backends.thread_source import thread_source
from runtime.backends.waiting import wait_for_all
from runtime.errors import PoolShutdownError, WorkerStartError
from runtime.locking import locked, taking
from runtime.scheduling.job_queue import JobQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.clock import Clock

__all__ = ("ThreadBackend",)

CAPABILITIES: Final = Capabilities(name="thread", can_interrupt=True)


class ThreadBackend:
    """See `Backend`; one pool's threads.

    Args:
        lock: The pool's lock, an RLock.
        clock: For the ages of abandoned jobs.
        max_workers: How many jobs may run at once.
        max_lent: How many more threads may exist for jobs that wait inside of the pool.
        max_abandoned: How many more threads may replace those that do not come back.
        initializer: Called on each thread before its first job; if it raises, the pool breaks.
        name: The pool's name, for messages.
    """

    capabilities: Final = CAPABILITIES

    def __init__(  # noqa: PLR0913 - the options of a pool that concern its threads
        self,
        lock: PoolLock,
        clock: Clock,
        max_workers: int,
        *,
        max_lent: int,
        max_abandoned: int,
        initializer: Callable[[], object] | None = None,
        name: str = "pool",
    ) -> None:
        self._clock = clock
        self._options = CrewOptions(max_workers, max_lent, max_abandoned, initializer, name)
        thread_source().load()
        self._begin(lock)

    def _begin(self, lock: PoolLock) -> None:
        """Be as new, under *lock*: when made, and in a forked child."""
        self.lock = lock
        self.taking = taking(lock)
        self._queue: JobQueue[JobSink] = JobQueue()
        self._crew = Crew(lock, self._clock, self._queue, self._options)
        self._push = self._queue.push
        self._wake_one = self._crew.wake_one

    # ---- taking jobs ----------------------------------------------------------------------

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`."""
        crew = self._crew
        if crew.closing and crew.broken is not None:
            # Not pushed: a thread that leaves could refuse it first, and nobody would be told here.
            error = crew.broken_error()
            job.refuse(error)
            raise error
        self._push(job)
        if crew.idle:
            try:
                self._wake_one()
            except IndexError:  # somebody else woke it
                pass
            else:
                return
        if crew.alive < crew.allowed and not crew.closing:
            crew.grow(job)
        # Looked at after the push: either the threads that leave see the job, or this does.
        if crew.closing:
            self._refuse_late(job)

    def _refuse_late(self, job: JobSink) -> None:
        """*job* came while the backend was closing: it runs, or its spawner is told."""
        crew = self._crew
        error = (
            PoolShutdownError(
                f"{self._options.name} is shut down and takes no more jobs: make a new WorkerPool"
            )
            if crew.broken is None
            else crew.broken_error()
        )
        if crew.refuse(job, error):
            raise error

    def note_over(self, job: JobSink, *, was_running: bool) -> None:
        """See `Backend.note_over`."""
        crew = self._crew
        if was_running:
            crew.note_over(job)
        else:
            crew.note_shell()
        if crew.watchers:
            crew.watchers.tell()

    # ---- looking --------------------------------------------------------------------------

    @locked
    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        found = [job for slot in self._crew.slots for job in slot.jobs()]
        return [job for job in found if not job.is_over()] + self._queue.snapshot()

    @locked
    def drain(self) -> list[JobSink]:
        """See `Backend.drain`."""
        return self._queue.drain()

    @locked
    def counts(self) -> BackendCounts:
        """See `Backend.counts`."""
        crew, now = self._crew, self._clock.now()
        running, abandoned = 0, []
        for slot in crew.slots:
            for job in slot.jobs():
                if job.is_abandoned():
                    abandoned.append((job.label, now - slot.abandoned_at))
                elif not job.is_over():
                    running += 1
        return BackendCounts(
            workers=crew.alive,
            idle=len(crew.idle),
            queued=len(self._queue),
            running=running,
            abandoned=tuple(abandoned),
            lent=crew.lent,
            at_abandoned_cap=crew.is_over_cap(),
        )

    # ---- waiting for the end --------------------------------------------------------------

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`.

        A job that calls this does not wait for itself, nor for others of this backend that do.
        """
        here = this_thread.slot
        self._crew.serve()  # a spawn that a KeyboardInterrupt cut short may have woken nobody
        return self._wait(lambda: self._is_idle(here), timeout, idle=True)

    def warm_up(self, timeout: float | None) -> bool:
        """See `Backend.warm_up`."""
        crew = self._crew
        while crew.alive < self._options.max_workers and not crew.closing:
            before = crew.alive
            crew.grow(None)
            if crew.alive <= before:  # it could not be started: that was logged
                raise WorkerStartError(
                    f"{self._options.name} has {before} thread(s) and gets no more: use fewer "
                    "workers, or raise the limit of threads"
                )
        return self._wait(self._is_warm, timeout, idle=False)

    def _is_warm(self) -> bool:
        """Needs lock. A thread whose initializer has returned waits for jobs, or runs one."""
        crew = self._crew
        if crew.broken is not None:
            raise crew.broken_error()
        ready = len(crew.idle) + sum(slot.job is not None for slot in crew.slots)
        return crew.closing or ready >= self._options.max_workers

    def close(self) -> None:
        """See `Backend.close`."""
        self._crew.close()

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`. A thread of this backend cannot wait for itself: False at once.

        The threads have ended then, too, where *timeout* allowed that and no other pool has them.
        """
        here = this_thread.slot
        if isinstance(here, Slot) and here.crew is self._crew:
            return False
        begin = time.monotonic()
        if not self._wait(self._has_ended, timeout, idle=False):
            return False
        left = None if timeout is None else timeout - (time.monotonic() - begin)
        if left is None or left > 0:
            self._crew.see_off(left)
        return True

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call *call* when it is closed and no thread is left, abandoned ones included."""
        self._crew.watchers.when(lambda: self._has_ended() and not self._crew.slots, call)

    def _wait(self, condition: Callable[[], bool], timeout: float | None, *, idle: bool) -> bool:
        crew, here = self._crew, this_thread.slot
        if not isinstance(here, Slot):
            return crew.watchers.wait(condition, timeout)
        return wait_for_all(
            here,
            crew,
            lambda: crew.watchers.wait(condition, timeout),
            limited=timeout is not None,
            idle=idle,
        )

    def _is_idle(self, here: object) -> bool:
        """Needs lock. A job that is over counts until its slot has let go of it."""
        crew = self._crew
        inside = isinstance(here, Slot) and here.crew is crew
        return self._queue.is_empty() and all(
            job.is_abandoned()
            for slot in crew.slots
            if slot is not here and not (inside and slot.is_idling())
            for job in slot.jobs()
        )

    def _has_ended(self) -> bool:
        """Needs lock: nothing is left but functions that do not return."""
        crew = self._crew
        if not crew.closing or not self._queue.is_empty():
            return False
        return all(slot.abandoned for slot in crew.slots)

    # ---- fork -----------------------------------------------------------------------------

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`. Runs alone: the child has one thread."""
        crew = self._crew
        lost = [job for slot in crew.slots for job in slot.jobs()] + self._queue.snapshot()
        for slot in crew.slots:
            slot.forked = True
            if slot.interrupts is not None:
                slot.interrupts.reset_after_fork()
        self._begin(lock)
        self._crew.closing, self._crew.broken = crew.closing, crew.broken
        return lost
