"""Cancelling many jobs: none of them is left out because one has a callback that raises.

Threads: any. What is to be cancelled is decided in one moment, under the pool's lock; who waits is
woken outside of it, job by job.
Source: worker-api-spec.md, section 4.3; ADR-013.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.outcome import CANCELLED
from runtime.workers.handle_state import HandleEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.workers.job import WorkerFuture
    from runtime.workers.pool_core import PoolCore

__all__ = ("cancel_each", "cancel_together", "cancel_waiting")


def cancel_each(jobs: Iterable[WorkerFuture[Any]]) -> None:  # Any: of whatever type
    """Cancel all of them; raise in the end what the first callback raised that did so."""
    _do_each([job.cancel for job in jobs])


def cancel_waiting(job: WorkerFuture[Any]) -> bool:  # Any: of whatever type
    """Cancel *job* where it has not begun; False where it has, or is over."""
    return cancel_together(job._core, lambda: [job], running=False) == 1


def cancel_together(
    core: PoolCore,
    find: Callable[[], list[WorkerFuture[Any]]],  # Any: of whatever type
    *,
    running: bool,
) -> int:
    """Cancel what *find* gives, as of one moment; return how many that were.

    What callbacks spawn meanwhile is not meant. Only jobs that wait, unless also *running*.
    Raises in the end what the first callback raised that did so.
    """
    news: list[Callable[[], object]] = []
    kept: list[object] = []  # what the jobs held: to be freed outside of the lock
    try:
        _ = True in core.taking
        try:
            for job in find():
                if not running and job.slot is not None and job.is_pending():
                    job.slot.confirm(job)  # sent ahead: it may have begun elsewhere
                if running or job.is_pending():
                    kept += (job._func, job._context)
                    news.append(job.cancel)  # for an interrupt in the next line
                    before = job._advance(HandleEvent.CANCEL, CANCELLED)
                    if before is None:
                        news.pop()
                    else:
                        news[-1] = partial(job._finish, before)
        finally:
            core.lock.release()
    finally:
        _do_each(news)
    return len(news)


def _do_each(steps: list[Callable[[], object]]) -> None:
    """Call all of them; raise in the end what the first one raised that did so."""
    first: BaseException | None = None
    left = iter(steps)
    is_over = False
    while not is_over:
        try:
            for step in left:
                step()
            is_over = True
        except BaseException as error:  # noqa: BLE001 - raised again below
            first = error if first is None else first
    if first is not None:
        try:
            raise first
        finally:
            del first  # its traceback keeps this frame
