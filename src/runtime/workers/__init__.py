"""Workers: functions that run beside the caller, and what is known of each."""

from __future__ import annotations

from runtime.errors import CancellationError
from runtime.workers.current import CurrentJob
from runtime.workers.group import SpawnAll
from runtime.workers.handle_state import HandleState, Outcome
from runtime.workers.job import WorkerFuture
from runtime.workers.mapping import MapResults
from runtime.workers.worker import Worker
from runtime.workers.worker_handle import WorkerHandle
from runtime.workers.worker_pool import WorkerPool

__all__ = (
    "CancellationError",
    "CurrentJob",
    "HandleState",
    "MapResults",
    "Outcome",
    "SpawnAll",
    "Worker",
    "WorkerFuture",
    "WorkerHandle",
    "WorkerPool",
)
