"""Workers, futures and an event loop of our own: a runtime to embed.

The public names are those of `runtime.async_runtime`, `runtime.workers` and `runtime.errors`;
the ones that most programs need are here as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.lazy import lazy_names

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # a type checker knows the names from above, and no others
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Executor": "runtime.async_runtime",
            "Future": "runtime.async_runtime",
            "Promise": "runtime.async_runtime",
            "Runtime": "runtime.async_runtime",
            "block_on": "runtime.async_runtime",
            "sleep": "runtime.async_runtime",
            "timeout": "runtime.async_runtime",
            "CancellationError": "runtime.errors",
            "CancelRequestedError": "runtime.errors",
            "WorkerRuntimeError": "runtime.errors",
            "Worker": "runtime.workers",
            "WorkerFuture": "runtime.workers",
            "WorkerHandle": "runtime.workers",
            "WorkerPool": "runtime.workers",
            "async_runtime": "runtime.async_runtime",
            "errors": "runtime.errors",
            "workers": "runtime.workers",
        },
    )
