"""The frozen picture of a pool that users get.

Imported when somebody asks for it: dataclasses cost a third of this package's start.
Source: worker-api-spec.md, section 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ("Distribution", "PoolStatistics")


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

    @property
    def done(self) -> int:
        """All jobs that ended, in whichever way."""
        return self.succeeded + self.failed + self.timed_out + self.cancelled
