"""Which job runs next, and what is counted: rules without threads, clocks or I/O."""

from __future__ import annotations

from runtime.scheduling.durations import DurationCounter
from runtime.scheduling.job_queue import JobQueue

__all__ = ("DurationCounter", "JobQueue")
