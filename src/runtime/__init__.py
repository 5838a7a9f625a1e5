"""Workers, futures and an event loop of our own: a runtime to embed.

The public names are those of `runtime.async_runtime`, `runtime.workers` and `runtime.errors`;
the ones that most programs need are here as well.
"""

from __future__ import annotations

from runtime.async_runtime import Executor, Future, Promise, Runtime, block_on, sleep, timeout
from runtime.errors import CancellationError, CancelRequestedError, WorkerRuntimeError
from runtime.workers import Worker, WorkerFuture, WorkerHandle, WorkerPool

__all__ = (
    "CancelRequestedError",
    "CancellationError",
    "Executor",
    "Future",
    "Promise",
    "Runtime",
    "Worker",
    "WorkerFuture",
    "WorkerHandle",
    "WorkerPool",
    "WorkerRuntimeError",
    "block_on",
    "sleep",
    "timeout",
)
