"""What a run cannot come to an end without: told to a pool before the loop's thread sleeps.

Known where the driven task is at the future of a job directly, in a coroutine however deep, or
through other tasks of the same executor. What it gets by other ways (``Future.all``, a promise)
nobody can know.
Loop thread only; asked only where the loop is about to sleep inside of a job.
Source: worker-api-spec.md, section 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.async_runtime.outcome import OutcomeFuture

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask

__all__ = ("awaited_by",)

_AWAIT: Final = OutcomeFuture.__await__.__code__


def awaited_by(task: DrivenTask[Any]) -> OutcomeFuture[Any] | None:  # Any: of whatever type
    """Return the job that *task* waits for; None where it is something else, or not known."""
    step = task
    while step._awaiting is not None:  # no circle: see `cycles`
        step = step._awaiting
    if step._arg is not None:
        return _if_job(step._arg)
    inner: Any = step._resume  # Any: a coroutine, or whatever else can be awaited in one
    while (
        deeper := getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None)
    ) is not None:
        inner = deeper
    if getattr(inner, "gi_code", None) is not _AWAIT:
        return None
    return _if_job(inner.gi_frame.f_locals["self"])


def _if_job(future: object) -> OutcomeFuture[Any] | None:  # Any: as above
    """Return *future* where a backend can claim it: only such a one has a place in the graph."""
    return future if isinstance(future, OutcomeFuture) and hasattr(future, "claim") else None
