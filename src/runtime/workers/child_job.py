"""The job object of a job that runs in a child process, for those who ask for it there.

Loaded with the first job that asks: a child without such jobs starts without the loop, the
promises and the pools. Threads: the child's main thread.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.reports import log_unhandled
from runtime.backends.process.parcel import NEVER
from runtime.clock import SYSTEM_CLOCK
from runtime.workers.job import WorkerFuture
from runtime.workers.options import JobOptions
from runtime.workers.pool_core import PoolCore

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import SlotView
    from runtime.backends.process.unpacking import Order

__all__ = ("end_job", "interruptible", "make_job")

_core = PoolCore(SYSTEM_CLOCK, log_unhandled)


def make_job(slot: SlotView, order: Order) -> WorkerFuture[Any]:
    """Return the job that *order* tells of, as running on *slot*."""
    _, id_, name, deadline, interrupt = order
    options = JobOptions(interrupt=bool(interrupt))
    if deadline != NEVER:
        options.deadline = deadline
        options.span = max(deadline - SYSTEM_CLOCK.now(), 0.0)
    job: WorkerFuture[Any] = WorkerFuture(_core, None, name, None, None, 0, options)
    job.worker_id = id_
    job.claim(slot)
    return job


def interruptible(job: WorkerFuture[Any], call: Callable[[], Any]) -> Callable[[], Any]:
    """Return *call* inside the window in which it may be interrupted."""
    job._func = call
    return JobOptions._interruptible(job)


def end_job(job: WorkerFuture[Any], error: BaseException | None) -> None:
    """The function of *job* has ended: whoever still waits for it here goes on."""
    job._ended_at = SYSTEM_CLOCK.now()
    job._func = None
    job.slot = None
    if not job.is_over():
        if error is None:
            job.complete(None)
        else:
            job.cancel()
    if isinstance(job._value, Failure):
        job._value.mark_observed()  # the pool tells its own
