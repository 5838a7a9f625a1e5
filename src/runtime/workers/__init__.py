"""Workers: functions that run beside the caller, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.lazy import lazy_names

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # a type checker knows the names from above, and no others
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "CancellationError": "runtime.errors",
            "CurrentJob": "runtime.workers.current",
            "SpawnAll": "runtime.workers.group",
            "HandleState": "runtime.workers.handle_state",
            "Outcome": "runtime.workers.handle_state",
            "WorkerFuture": "runtime.workers.job",
            "MapResults": "runtime.workers.mapping",
            "Worker": "runtime.workers.worker",
            "WorkerHandle": "runtime.workers.worker_handle",
            "WorkerPool": "runtime.workers.worker_pool",
        },
    )
