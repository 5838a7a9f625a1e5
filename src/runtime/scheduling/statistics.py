"""The frozen picture of a pool that users get.

Imported when somebody asks for it: dataclasses cost a third of this package's start.
Source: worker-api-spec.md, section 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ("ChildStatistics", "Distribution", "PoolStatistics")


@dataclass(frozen=True, slots=True)
class Distribution:
    """How long something took, from a sample; times are in seconds."""

    samples: int
    mean: float
    maximum: float
    buckets: tuple[int, ...] = field(repr=False)  # bucket i: below 2**i microseconds

    def percentile(self, percent: float) -> float:
        """Return an upper bound of the time that *percent* % of the sample took at most.

        Raises:
            ValueError: *percent* is not between 0 and 100.
        """
        if not 0 <= percent <= 100:  # noqa: PLR2004 - a percentage
            raise ValueError(f"percent must be from 0 to 100, got {percent!r}")
        wanted, seen = self.samples * percent / 100, 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= wanted and seen:
                return min(2.0**index * 1e-6, self.maximum)
        return 0.0


@dataclass(frozen=True, slots=True)
class ChildStatistics:
    """A child process at one moment. Times are in seconds.

    Attributes:
        number: Of the child in its pool; never used twice.
        pid: Its process; 0 until that is known.
        state: ``"starting"``, ``"idle"``, ``"busy"``, ``"abandoned"`` or ``"leaving"``.
        age: Since it was asked for.
        jobs_done: Jobs that it has answered.
        current_job: The label of the job that it runs; None for none.
        current_age: Since that began; None for none.
        rss_bytes: Its memory, shared pages included; None where nobody can tell.
        pss_bytes: Its memory, of shared pages its share.
        peak_bytes: The most that it ever had.
    """

    number: int
    pid: int
    state: str
    age: float
    jobs_done: int
    current_job: str | None
    current_age: float | None
    rss_bytes: int | None
    pss_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment: a copy that does not change. Times are in seconds.

    Attributes:
        backend: What runs the jobs: ``"thread"``, ``"inline"``, ...
        state: ``"open"``, ``"closing"`` or ``"closed"``.
        max_workers: How many jobs may run at once.
        workers: Slots that exist, those that are abandoned or lent included.
        idle: Slots without a job.
        queued: Jobs that wait for a slot.
        running: Jobs that run and whose result is still wanted.
        abandoned: Jobs that were cancelled or timed out and whose function still runs.
        abandoned_names: Their labels with the seconds since they were abandoned.
        lent: Slots that were added because others wait inside of their jobs.
        at_abandoned_cap: Whether so many slots are abandoned that no more are replaced.
        succeeded: Jobs that ended with a value since the pool was made; the next three likewise.
        failed: With an exception of their own.
        timed_out: By passing their deadline.
        cancelled: By being cancelled.
        wait_time: From spawn to start, of every eighth job that ran to its own end.
        run_time: From start to end, of the same jobs.
        children: The child processes, where the backend has any.
        restarts: Children that crashed since the pool was made.
        recycled: Children that were replaced because of their age or their memory.
    """

    backend: str
    state: str
    max_workers: int
    workers: int
    idle: int
    queued: int
    running: int
    abandoned: int
    abandoned_names: tuple[tuple[str, float], ...]
    lent: int
    at_abandoned_cap: bool
    succeeded: int
    failed: int
    timed_out: int
    cancelled: int
    wait_time: Distribution
    run_time: Distribution
    children: tuple[ChildStatistics, ...] = ()
    restarts: int = 0
    recycled: int = 0

    @property
    def done(self) -> int:
        """All jobs that ended, in whichever way."""
        return self.succeeded + self.failed + self.timed_out + self.cancelled
