"""Errors that are both ours and the standard library's, for those who catch either.

The facts, the message, the traceback and the cause stay; the class gets one more base.
Source: interop-spec.md, section 2.4; ADR-011.
"""

from __future__ import annotations

import pickle
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, TypeVar

from runtime.errors import (
    BrokenPoolError,
    QuarantinedJobError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerRuntimeError,
)
from runtime.workers import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.workers import WorkerFuture

__all__ = (
    "ThreadPoolBrokenError",
    "UnpicklableJobError",
    "as_standard",
    "translated",
)

ErrorT = TypeVar("ErrorT", bound=BaseException)


class ThreadPoolBrokenError(BrokenPoolError, BrokenThreadPool):
    """A pool of threads is broken: its initializer raised."""


class UnpicklableJobError(UnpicklableError, pickle.PicklingError):
    """A function, an argument or a result cannot travel between processes."""


_IN_THREADS: Mapping[type[BaseException], type[BaseException]] = {
    BrokenPoolError: ThreadPoolBrokenError,
    UnpicklableError: UnpicklableJobError,
}


def as_standard(
    error: WorkerRuntimeError,
    job: WorkerFuture[object],
    *,
    in_processes: bool,
) -> BaseException:
    """Return the outcome *error* of *job* as what the standard library's executor would give.

    What the function itself raised stays as it is, be it an error of another pool.
    """
    if isinstance(error, UnpicklableError):
        tells_of_us = True
    elif isinstance(error, (WorkerCrashedError, QuarantinedJobError)):
        tells_of_us = job.outcome is not Outcome.FINISHED
    else:
        tells_of_us = job._started_at is None  # refused: the function never ran
    return translated(error, in_processes=in_processes) if tells_of_us else error


def translated(error: BaseException, *, in_processes: bool) -> BaseException:
    """Return *error* as an instance of the class that is both; others as they are."""
    kinds = _IN_THREADS
    if in_processes:
        from runtime.interop.broken_processes import IN_PROCESSES  # noqa: PLC0415 - see there

        kinds = IN_PROCESSES
    kind = kinds.get(type(error))
    return error if kind is None else _become(error, kind)


def _become(error: BaseException, kind: type[ErrorT]) -> ErrorT:
    """Return a new error of *kind*, a subclass of the type of *error*, with all that it has."""
    made = kind.__new__(kind)
    made.args = error.args
    vars(made).update(vars(error))
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(error.__traceback__)
