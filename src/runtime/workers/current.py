"""What a job sees of itself: `Worker.current`.

Source: worker-api-spec.md, section 5.2; ADR-004.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from runtime.async_runtime.waiters import SleepWaker
from runtime.backends.base import this_thread
from runtime.clock import SYSTEM_CLOCK, check_timeout
from runtime.errors import CancelRequestedError, InvalidStateError

if TYPE_CHECKING:
    from runtime.async_runtime.timers import Timer
    from runtime.workers.job import WorkerFuture

__all__ = ("CurrentJob", "current_job", "running_job")


class CurrentJob:
    """The job that this thread runs. For the job's own thread only, except `cancelled`."""

    __slots__ = ("_job",)

    def __init__(self, job: WorkerFuture[Any]) -> None:  # Any: of whatever type
        self._job = job

    @property
    def id(self) -> int:
        """The number of the job."""
        return self._job.worker_id

    @property
    def name(self) -> str:
        """The name given to spawn, or ``worker-<id>``."""
        return self._job.name

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more: cancelled, timed out, or settled by hand."""
        return self._job.is_over()

    def check(self) -> None:
        """Raise where the job should stop: call it now and then in long work.

        Raises:
            CancelRequestedError: it was cancelled or has timed out. Let it pass after
                cleaning up: the outcome is then ``stopped``.
        """
        job = self._job
        options = job._options
        if options is not None and not job.is_over() and options.is_past(job._core.now()):
            job.expire()  # ahead of the watcher
        if self.cancelled:
            raise CancelRequestedError(f"{job.label} was asked to stop ({job.state.label})")

    def sleep(self, seconds: float) -> None:
        """Sleep *seconds*, and no longer than until the job should stop.

        Raises:
            CancelRequestedError: as `check`, at once when it happens.
            ValueError: *seconds* is negative or NaN.
        """
        limit = check_timeout("seconds", seconds)
        job = self._job
        core = job._core
        waker = SleepWaker()
        timer: Timer | None = None
        if core.clock is not SYSTEM_CLOCK and limit is not None:  # its time may not be ours
            timer, limit = core.deadlines.add(core.now() + limit, waker.wake), None
        # The job's own future is settled when it should stop: that is what wakes us early.
        job._subscribe(waker)
        try:
            waker.park(limit)
        finally:
            job._unsubscribe(waker)
            if timer is not None:
                timer.cancel()
        self.check()

    def remaining(self) -> float:
        """Return the seconds that are left of the job's limits, 0 at least; inf without any."""
        options = self._job._options
        if options is None or options.deadline is None:
            return math.inf
        return max(options.deadline - self._job._core.now(), 0.0)

    def report(self, progress: object) -> None:
        """Let others see *progress* as ``handle.progress``; the last one counts.

        Raises:
            UnpicklableError: the job runs in a process of its own, and *progress* cannot travel.
        """
        job = self._job
        job.note_progress(progress)
        slot = job.slot
        if slot is not None:
            slot.progress(job, progress)

    def __repr__(self) -> str:
        return f"<CurrentJob {self._job.worker_id} {self._job.name!r}>"


def running_job() -> WorkerFuture[Any] | None:  # Any: of whatever type
    """Return the job that this thread runs, or None."""
    slot = this_thread.slot
    return None if slot is None else cast("WorkerFuture[Any] | None", slot.job)


def current_job() -> CurrentJob:
    """Return the job that this thread runs.

    Raises:
        InvalidStateError: it runs none.
    """
    job = running_job()
    if job is None or job._ended_at is not None:  # a callback that runs after it is no part of it
        raise InvalidStateError(
            "Worker.current() was called outside of a job: call it from the function that a "
            "worker runs, on that worker's thread"
        )
    return CurrentJob(job)
