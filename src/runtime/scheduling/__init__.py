"""Which job runs next, and what is counted: rules without threads, clocks or I/O."""

from __future__ import annotations

from runtime.scheduling.job_queue import JobQueue
from runtime.scheduling.statistics import Distribution, DurationCounter, PoolStatistics

__all__ = ("Distribution", "DurationCounter", "JobQueue", "PoolStatistics")
