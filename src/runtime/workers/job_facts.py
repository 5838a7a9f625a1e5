"""What is known of one job, and who may ask: its fields, its names, its state.

Nothing here changes anything but what `JobSink` lets a backend put there; settling is in
`job_record`.
Source: worker-api-spec.md, sections 3 and 8; ADR-013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from runtime.async_runtime.outcome import OutcomeFuture
from runtime.async_runtime.places import describe_place
from runtime.workers.handle_state import HandleState, Outcome
from runtime.workers.options import JobOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from types import CodeType

    from runtime.backends.base import SlotView
    from runtime.workers.pool_core import PoolCore

__all__ = ("JobFacts",)

T = TypeVar("T")

# Plain ints for the hot path; an IntEnum member compares and indexes more slowly.
_PENDING: Final = int(HandleState.PENDING)
_RUNNING: Final = int(HandleState.RUNNING)


class JobFacts(OutcomeFuture[T]):
    """One job, whoever looks at it. Thread-safe; made by `job.WorkerFuture`."""

    __slots__ = (
        "_code",  # with _instruction: where it was spawned
        "_context",
        "_core",
        "_ended_at",  # when the function returned, or the job was over without it
        "_func",  # None once it is not needed any more: frees what it holds
        "_instruction",
        "_late",  # how the function ended, where not by itself
        "_options",  # None for a job without any
        "_queued_at",
        "_started_at",
        "_state",  # an int of HandleState; protected by the lock
        "name_given",
        "slot",  # where it runs
        "worker_id",
    )

    # Declared here, set by WorkerFuture.__init__: one call less for each job.
    _code: CodeType | None
    _context: Context | None
    _core: PoolCore
    _ended_at: float | None
    _func: Callable[[], T] | None
    _instruction: int
    _late: Outcome | None
    _options: JobOptions | None
    _queued_at: float
    _started_at: float | None
    _state: int
    name_given: str | None
    slot: SlotView | None
    worker_id: int

    # ---- looking --------------------------------------------------------------------------

    def is_over(self) -> bool:
        """Tell whether there is an outcome; then the function need not run."""
        return self._state > _RUNNING

    @property
    def state(self) -> HandleState:
        """The state now; another thread may change it right after."""
        return HandleState(self._state)

    @property
    def outcome(self) -> Outcome | None:
        """What became of the function; None until the job has an outcome.

        Of a job that was cancelled or has timed out it is `Outcome.ABANDONED` for as long
        as the function runs, and then the way in which it ended.
        """
        core = self._core
        _ = True in core.taking  # state and times of one moment
        try:
            if self._state <= _RUNNING:
                return None
            if self._started_at is None:
                return Outcome.NEVER_RAN
            if self._ended_at is None:
                return Outcome.ABANDONED
            return self._late or Outcome.FINISHED
        finally:
            core.lock.release()

    @property
    def name(self) -> str:
        """The name given to spawn, or ``worker-<id>``."""
        return self.name_given or f"worker-{self.worker_id}"

    @property
    def label(self) -> str:
        """Who this is, for messages."""
        if self.name_given is None:
            return f"worker {self.worker_id}"
        return f"worker {self.worker_id} {self.name_given!r}"

    @property
    def place(self) -> str:
        """Where it was spawned: ``file:line in function``."""
        return describe_place(self._code, self._instruction)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.worker_id} {self.name!r} {self.state.label}>"

    # ---- what a backend asks (JobSink) ----------------------------------------------------

    @property
    def number(self) -> int:
        """See `JobSink`."""
        return self.worker_id

    @property
    def given_name(self) -> str | None:
        """See `JobSink`."""
        return self.name_given

    @property
    def context(self) -> Context | None:
        """See `JobSink`."""
        return self._context

    @property
    def work(self) -> Any:  # noqa: ANN401 - Any: a function, or what a backend made of it
        """See `JobSink`."""
        return self._func

    @work.setter
    def work(self, work: Any) -> None:  # noqa: ANN401 - as above
        self._func = work

    @property
    def deadline(self) -> float | None:
        """See `JobSink`."""
        return None if self._options is None else self._options.deadline

    @property
    def run_timeout(self) -> float | None:
        """See `JobSink`."""
        return None if self._options is None else self._options.run_timeout

    def is_pending(self) -> bool:
        """See `JobSink`."""
        return self._state == _PENDING

    def note_progress(self, value: object) -> None:
        """See `JobSink`."""
        if self._options is None:
            self._options = JobOptions()
        self._options.progress = value
