"""What the caller keeps of one job: who it is, where it is, when, and how it ended.

Source: worker-api-spec.md, section 3; ADR-013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from runtime.async_runtime.promise import Promise
from runtime.async_runtime.reports import log_unhandled
from runtime.async_runtime.staying import stays_here
from runtime.clock import SYSTEM_CLOCK, check_timeout
from runtime.errors import CancellationError
from runtime.workers.checks import check_name
from runtime.workers.handle_state import HandleState
from runtime.workers.job import WorkerFuture
from runtime.workers.options import JobOptions
from runtime.workers.pool_core import PoolCore

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.workers.handle_state import Outcome

__all__ = ("CancellationError", "WorkerHandle")

T = TypeVar("T")


class _JobPromise(Promise[T]):
    """The promise of a spawned job, for who wants to settle it by hand."""

    __slots__ = ()

    def __init__(self, job: WorkerFuture[T]) -> None:
        self._future = cast("Any", job)  # Any: it has _settle and _outcome, all that is used

    def __del__(self) -> None:
        """Nothing: the job is settled by its pool, whoever holds this."""


class WorkerHandle(Generic[T]):
    """One job, seen from outside. Thread-safe: any method, from any thread, in any order.

    A spawned job has one: ``future.handle``. Made by hand, it is for `WorkerPool.submit`,
    or for a backend of one's own: `start`, `complete` and `fail` are what that calls.

    Args:
        worker_id: Who this is; a pool gives numbers that are unique in it.
        promise: Settled together with the handle.
        timeout: Seconds from now on; None for no limit. `is_timeout` compares, `WorkerPool.submit`
            also has it watched.
        name: Shown in errors and logs; the default is ``worker-<id>``.
        clock: Where the times come from.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: *timeout* is negative or NaN.

    Handles of one job are equal. All times are seconds on the clock (monotonic); only differences
    mean anything.
    """

    __slots__ = ("_job", "_promise")

    def __init__(
        self,
        worker_id: int,
        promise: Promise[T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if isinstance(worker_id, bool) or not isinstance(worker_id, int):
            raise TypeError(
                f"worker_id must be a whole number, got {worker_id!r}: a pool gives one that is "
                "free with get_next_worker_id()"
            )
        check_name(name)
        options = JobOptions(check_timeout("timeout", timeout), forward=promise)
        if options.timeout is not None:
            options.deadline = clock.now() + options.timeout
        core = PoolCore(clock, log_unhandled)
        job: WorkerFuture[T] = WorkerFuture(core, None, name, None, None, 0, options)
        job.worker_id = worker_id
        self._job = job
        self._promise: Promise[T] | None = promise

    @classmethod
    def of(cls, job: WorkerFuture[T]) -> WorkerHandle[T]:
        """Return a handle of a spawned job."""
        handle: WorkerHandle[T] = cls.__new__(cls)
        handle._job = job
        handle._promise = None
        return handle

    # ---- who ------------------------------------------------------------------------------

    @property
    def worker_id(self) -> int:
        """The number of the job."""
        return self._job.worker_id

    @property
    def name(self) -> str:
        """The name given to spawn, or ``worker-<id>``."""
        return self._job.name

    @property
    def promise(self) -> Promise[T]:
        """The write side of the job's future."""
        if self._promise is None:
            self._promise = _JobPromise(self._job)
        return self._promise

    @property
    def timeout(self) -> float | None:
        """The limit that was given, in seconds from the spawn."""
        options = self._job._options
        return None if options is None else options.timeout

    @property
    def place(self) -> str:
        """Where the job was spawned: ``file:line in function``."""
        return self._job.place

    # ---- where ----------------------------------------------------------------------------

    @property
    def state(self) -> HandleState:
        """The state now; another thread may change it right after."""
        return self._job.state

    @property
    def outcome(self) -> Outcome | None:
        """What really became of the function; None while there is no outcome yet."""
        return self._job.outcome

    @property
    def progress(self) -> object:
        """What the job last gave to ``Worker.current().report``; None before that."""
        options = self._job._options
        return None if options is None else options.progress

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._job._state == HandleState.CANCELLED

    @property
    def completed(self) -> bool:
        """Whether the job has an outcome of its own: a value, an error, or a timeout."""
        return self._job._state in (
            HandleState.SUCCEEDED,
            HandleState.FAILED,
            HandleState.TIMED_OUT,
        )

    def is_cancelled(self) -> bool:
        """See `cancelled`."""
        return self.cancelled

    def is_completed(self) -> bool:
        """See `completed`."""
        return self.completed

    # ---- when -----------------------------------------------------------------------------

    @property
    def start_time(self) -> float:
        """When the job was spawned; the same as `queued_at`."""
        return self._job._queued_at

    @property
    def queued_at(self) -> float:
        """When the job was spawned."""
        return self._job._queued_at

    @property
    def started_at(self) -> float | None:
        """When its function was called; None where it was not."""
        return self._job._started_at

    @property
    def ended_at(self) -> float | None:
        """When its function returned, or, where it never ran, when that was settled."""
        return self._job._ended_at

    def elapsed(self) -> float:
        """Return the seconds from the spawn to the end, or to now."""
        job = self._job
        end = job._ended_at
        return (job._core.now() if end is None else end) - job._queued_at

    def is_timeout(self) -> bool:
        """Tell whether the job timed out, or is still open and past its limit."""
        job = self._job
        if job.is_over():
            return job._state == HandleState.TIMED_OUT
        return job._options is not None and job._options.is_past(job._core.now())

    # ---- settling -------------------------------------------------------------------------

    def start(self) -> bool:
        """Claim the job for a backend of one's own; False: it is over already, do not run it.

        Raises:
            InvalidStateError: it was started before: two must never run one job.
        """
        return self._job.start()

    def complete(self, value: T) -> bool:
        """Settle with *value*; False: another outcome came first and stands."""
        return self._job.complete(value)

    def fail(self, error: BaseException) -> bool:
        """Settle with *error*; False: another outcome came first and stands."""
        return self._job.fail(error)

    def cancel(self) -> bool:
        """Settle as cancelled, at once; False: it was over already. See `outcome`."""
        return self._job.cancel()

    __reduce__ = stays_here

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkerHandle) and other._job is self._job

    def __hash__(self) -> int:
        return hash(self._job)

    def __repr__(self) -> str:
        job = self._job
        return f"<WorkerHandle {job.worker_id} {job.name!r} {job.state.label}>"
