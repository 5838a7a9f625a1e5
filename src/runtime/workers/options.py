"""What a job has beyond its function: limits of time, and the rarer wishes.

Most jobs have none of it, and then there is no such object: they pay nothing.
Source: worker-api-spec.md, section 5; ADR-005.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypedDict, cast

from runtime.async_runtime.outcome import VALUE
from runtime.backends.interrupts import Interrupts
from runtime.errors import CancelRequestedError, WorkerStartError, WorkerTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from runtime.async_runtime.promise import Promise
    from runtime.async_runtime.timers import Timer
    from runtime.workers.job import WorkerFuture
    from runtime.workers.job_record import JobRecord

__all__ = ("JobOptions", "SpawnOptions", "deadline_of", "forward")


class SpawnOptions(TypedDict, total=False):
    """What every form of `WorkerPool.spawn` takes beside the function and its arguments."""

    run_timeout: float | None
    context: Context | None
    interrupt: bool
    cancel_on_abandon: bool


class JobOptions:
    """The options of one job. Written by the spawner, later only on the job's own thread."""

    __slots__ = (
        "cancel_on_abandon",
        "deadline",  # the earliest limit, a point on the clock; None: no limit
        "forward",  # a promise of the user's that is settled like the job
        "inherited_from",  # the label of the job that this one has its deadline from
        "interrupt",
        "progress",
        "run_timeout",
        "since",  # what `span` counts from: "spawn" or "start"
        "span",  # the limit that `deadline` came from, in seconds
        "timeout",
        "timer",
    )

    def __init__(
        self,
        timeout: float | None = None,
        run_timeout: float | None = None,
        *,
        interrupt: bool = False,
        cancel_on_abandon: bool = True,
        forward: Promise[Any] | None = None,  # Any: of the handle's type
    ) -> None:
        self.timeout = timeout
        self.run_timeout = run_timeout
        self.interrupt = interrupt
        self.cancel_on_abandon = cancel_on_abandon
        self.forward = forward
        self.deadline: float | None = None
        self.span = timeout
        self.since = "spawn"
        self.inherited_from: str | None = None
        self.progress: object = None
        self.timer: Timer | None = None

    def arm(self, job: WorkerFuture[Any], parent: WorkerFuture[Any] | None) -> None:  # Any: any job
        """At the spawn: work out the deadline and have it watched.

        Raises:
            WorkerStartError: the thread that watches deadlines cannot be started.
        """
        start = job._queued_at
        if self.timeout is not None:
            self.deadline = start + self.timeout
        inherited = deadline_of(parent)
        if (
            inherited is not None
            and parent is not None
            and parent._core.clock is not job._core.clock
        ):
            inherited += start - parent._core.now()  # that is a point on another clock
        if inherited is not None and (self.deadline is None or inherited < self.deadline):
            self.deadline = inherited
            self.span = max(round(inherited - start, 6), 0.0)
            self.inherited_from = None if parent is None else parent.label
        if self.deadline is not None:
            self.timer = _watch(job, self.deadline)

    def follow_promise(self, job: WorkerFuture[Any]) -> None:  # Any: any job
        """Cancel *job* where the promise of its handle is settled, or cancelled, by other means."""
        if self.forward is not None:
            self.forward.future().add_done_callback(lambda _: job.cancel())

    def before_run(self, job: WorkerFuture[Any]) -> bool:  # Any: any job
        """On the slot, before the function: False where the time is up already."""
        now = job._core.now()
        if job.is_over() or self.is_past(now):
            job.skip()
            return False
        if self.interrupt:
            job._func = self._interruptible(job)
        if self.run_timeout is not None:
            try:
                self.limit_run(job, now)
            except WorkerStartError as error:  # without its limit it must not run
                job.skip(error.with_traceback(None))  # that holds the job
                return False
        return True

    def limit_run(self, job: WorkerFuture[Any], start: float) -> None:  # Any: any job
        """The run has begun at *start*: have its own limit watched, where that is the earlier one.

        Raises:
            WorkerStartError: the thread that watches deadlines cannot be started.
        """
        limit = start + cast("float", self.run_timeout)
        if self.deadline is not None and self.deadline <= limit:
            return
        self.deadline, self.span, self.since = limit, self.run_timeout, "start"
        self.inherited_from = None
        if self.timer is not None:
            self.timer.cancel()
        self.timer = _watch(job, limit)
        if job.is_over():  # meanwhile: after_run may have missed this timer
            self.timer.cancel()

    @staticmethod
    def _interruptible(job: WorkerFuture[Any]) -> Callable[[], Any]:  # Any: any job
        """Return the job's function inside the window in which it may be interrupted."""
        func = cast("Callable[[], Any]", job._func)
        slot = cast("Any", job.slot)  # Any: only a slot that can interrupt has this
        if not hasattr(slot, "interrupts"):
            return func
        if slot.interrupts is None:
            slot.interrupts = Interrupts()
        return functools.partial(slot.interrupts.call, job, functools.partial(_unless, job, func))

    def is_past(self, now: float) -> bool:
        """Tell whether the deadline has come."""
        return self.deadline is not None and now >= self.deadline

    def timeout_error(self, job: JobRecord[Any], now: float) -> WorkerTimeoutError:  # Any: any job
        """Return the error of this job's expiry."""
        begin = job._started_at if self.since == "start" else job._queued_at
        elapsed = now - (job._queued_at if begin is None else begin)
        error = WorkerTimeoutError(job.label, cast("float", self.span), elapsed, self.since)
        if self.inherited_from is not None:
            error.add_note(f"this limit was left of the deadline of {self.inherited_from}")
        return error

    def after_run(self, job: JobRecord[Any]) -> None:  # Any: any job
        """There is an outcome: let go of the timer, tell the promise of a handle made by hand."""
        if self.timer is not None:
            self.timer.cancel()
        if self.forward is not None:
            forward(job, self.forward)


def _watch(job: WorkerFuture[Any], deadline: float) -> Timer:  # Any: any job
    """Have *job* expire at *deadline*, a point on its pool's clock."""
    try:
        return job._core.deadlines.add(deadline, job.expire)
    except RuntimeError as error:
        raise WorkerStartError(
            f"the thread that watches deadlines could not be started for {job.label} ({error}): "
            "use fewer threads, or no limit of time"
        ) from error.with_traceback(None)  # that holds the job


def _unless(job: WorkerFuture[Any], func: Callable[[], Any]) -> object:  # Any: any job
    """Call *func*, unless *job* was over before its window was open: nobody could interrupt it."""
    if job.is_over():
        raise CancelRequestedError(f"{job.label} was asked to stop ({job.state.label})")
    del job  # an error of the function keeps this frame
    return func()


def deadline_of(job: WorkerFuture[Any] | None) -> float | None:  # Any: any job
    """Return the deadline that a job spawned from *job* inherits.

    None once its function has returned: a callback that runs then is no part of it.
    """
    if job is None or job._options is None or job._ended_at is not None:
        return None
    return job._options.deadline


def forward(job: JobRecord[Any], promise: Promise[Any]) -> None:  # Any: any job
    """Settle *promise* like *job*, where it is still open. Whoever reads either has seen it."""
    outcome = job._outcome
    promise.future()._settle(outcome, job._value if outcome == VALUE else job._failure())
