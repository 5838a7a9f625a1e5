"""As `broken`, for pools of processes: loaded with the first such error, for it is dear.

Source: interop-spec.md, section 2.4; ADR-011.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Final

from runtime.errors import (
    BrokenPoolError,
    QuarantinedJobError,
    RestartBudgetError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerStartupError,
)
from runtime.interop.broken import UnpicklableJobError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "IN_PROCESSES",
    "ProcessBudgetError",
    "ProcessCrashedError",
    "ProcessPoolBrokenError",
    "ProcessQuarantineError",
    "ProcessStartupError",
)


class ProcessPoolBrokenError(BrokenPoolError, BrokenProcessPool):
    """A pool of processes is broken."""


class ProcessStartupError(WorkerStartupError, BrokenProcessPool):
    """A pool is broken because its processes do not get ready to work."""


class ProcessBudgetError(RestartBudgetError, BrokenProcessPool):
    """A pool is broken because its processes died too often."""


class ProcessCrashedError(WorkerCrashedError, BrokenProcessPool):
    """The process of a job ended under it; the pool itself goes on."""


class ProcessQuarantineError(QuarantinedJobError, BrokenProcessPool):
    """A job is not run again because it killed every process that it ran in."""


IN_PROCESSES: Final[Mapping[type[BaseException], type[BaseException]]] = {
    BrokenPoolError: ProcessPoolBrokenError,
    WorkerStartupError: ProcessStartupError,
    RestartBudgetError: ProcessBudgetError,
    WorkerCrashedError: ProcessCrashedError,
    QuarantinedJobError: ProcessQuarantineError,
    UnpicklableError: UnpicklableJobError,
}
