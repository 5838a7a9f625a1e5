"""One job: the future that its spawner holds, and what a backend does with it.

One object per job, on purpose: it is the read side (an `OutcomeFuture`), it knows the state (a
`JobRecord`), and it is what the backend sees (a `JobSink`). A handle is a view of it, made when
somebody asks for one.
Hot path: `WorkerFuture.__init__`, `claim`, `execute`; every job passes each of them once.
Source: worker-api-spec.md, sections 2, 3 and 8; ADR-013.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final, TypeVar, cast

from runtime.async_runtime.outcome import ERROR, OPEN, VALUE
from runtime.async_runtime.running import FREE_THREADED, full_fence
from runtime.backends.base import end_forked_child
from runtime.errors import CancelRequestedError, WorkerStartError
from runtime.logs import logger
from runtime.workers.handle_state import NEXT, HandleEvent, HandleState, Outcome
from runtime.workers.job_record import JobRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from types import CodeType, TracebackType

    from runtime.backends.base import SlotView
    from runtime.workers.options import JobOptions
    from runtime.workers.pool_core import PoolCore
    from runtime.workers.worker_handle import WorkerHandle

__all__ = ("WorkerFuture",)

T = TypeVar("T")

# Plain ints for the hot path; an IntEnum member compares and indexes more slowly.
_PENDING: Final = int(HandleState.PENDING)
_RUNNING: Final = int(HandleState.RUNNING)
_SUCCEEDED: Final = int(HandleState.SUCCEEDED)
_FAILED: Final = int(HandleState.FAILED)
# Columns of the table: the state after one event, by the state before it.
_AFTER_START: Final = tuple(row[HandleEvent.START] for row in NEXT)
_AFTER_SUCCEED: Final = tuple(row[HandleEvent.SUCCEED] for row in NEXT)
_AFTER_FAIL: Final = tuple(row[HandleEvent.FAIL] for row in NEXT)
_OUR_FRAMES: Final = frozenset(
    {
        __name__,
        "runtime.backends.interrupts",
        "runtime.workers.mapping",
        "runtime.workers.options",
    }
)
_SAMPLED: Final = 7  # every eighth job's times go into the distributions


class WorkerFuture(JobRecord[T]):
    """The future of a spawned job. Thread-safe; see `OutcomeFuture` for the reading side."""

    __slots__ = ()

    def __init__(
        self,
        core: PoolCore,
        func: Callable[[], T] | None,
        name: str | None,
        context: Context | None,
        code: CodeType | None,
        instruction: int,
        options: JobOptions | None,
    ) -> None:
        self._outcome = OPEN
        self._waiters = None
        self._crowd = None
        self._core = core
        self._func = func
        self._context = context
        self._code = code
        self._instruction = instruction
        self._options = options
        self._state = _PENDING
        self._queued_at = core.now()
        self._started_at = None
        self._ended_at = None
        self._late = None
        self.name_given = name
        self.slot = None
        self.worker_id = core.next_id()

    @property
    def handle(self) -> WorkerHandle[T]:
        """A handle of this job: all that is known of it."""
        from runtime.workers.worker_handle import WorkerHandle  # noqa: PLC0415 - cycle

        return WorkerHandle.of(self)

    # ---- what the backend calls (JobSink) -------------------------------------------------

    @property
    def wants_interrupt(self) -> bool:
        """See `JobSink`."""
        return self._options is not None and self._options.interrupt

    def is_abandoned(self) -> bool:
        """See `JobSink.is_abandoned`."""
        return self.outcome is Outcome.ABANDONED

    def claim(self, slot: SlotView) -> bool:
        """See `JobSink.claim`. Needs the pool's lock."""
        if _AFTER_START[self._state] != _RUNNING:
            return False
        self._state = _RUNNING
        self.slot = slot
        now = slot.now
        if now is None:
            self._started_at = self._core.now()
        else:  # the end of the last job; this one may have come a moment after that
            queued_at = self._queued_at
            self._started_at = now if now > queued_at else queued_at  # noqa: FURB136 - no call
        return True

    def execute(self) -> None:  # noqa: C901 - the hot path, written out
        """See `JobSink.execute`: call the function in its context, settle with what it does."""
        options = self._options
        if options is not None and not options.before_run(self):
            return
        try:
            value = self._context.run(self._func)  # type: ignore[union-attr, arg-type]  # it runs
        except BaseException as error:  # noqa: BLE001 - it is the job's outcome
            self._run_failed(error)
            # The user's frames are kept with the error, and they keep the frames below them.
            del self, options  # so this one must not keep the job
            return
        # From here on as `_run_failed`, written out: the hot path of every job.
        self._func = self._context = None
        core = self._core
        now = core.now()
        self.slot.now = self._ended_at = now  # type: ignore[union-attr]  # it is on one
        if options is not None and options.is_past(now):
            self._settle_run(self.expire)
        _ = True in core.taking  # see `JobRecord._advance`
        try:
            stands = _AFTER_SUCCEED[self._state] == _SUCCEEDED
            if stands:
                self._value = value  # as `_advance`
                self._state = _SUCCEEDED
                self._outcome = VALUE
                core.done[_SUCCEEDED] += 1
                if not self.worker_id & _SAMPLED:
                    core.sample(self._queued_at, self._started_at, now)
        finally:
            core.lock.release()
        self.slot = None
        if not stands:
            return
        if options is not None:
            self._announce_run()
            return
        if FREE_THREADED:
            full_fence()
        if self._waiters is not None:
            try:
                self._wake_all()
            except BaseException as error:  # noqa: BLE001 - reported
                self._waiter_raised(error)

    def _run_failed(self, error: BaseException) -> None:
        """Settle with what the function raised. On the slot's thread."""
        slot = cast("SlotView", self.slot)
        if slot.forked:
            end_forked_child(error)
        if isinstance(error, CancelRequestedError) and self.is_over():  # it had been asked to
            self._late = Outcome.STOPPED  # before _ended_at: `outcome` goes by both
        error.__traceback__ = _of_user(error.__traceback__)
        self._end_run(error)
        if isinstance(error, KeyboardInterrupt) and self._runs_in_main_thread():
            if self._outcome == ERROR:
                self._failure().view()  # nobody gets the future: it is no failure left unread
            raise error

    def _runs_in_main_thread(self) -> bool:
        """Tell whether Ctrl-C in the function is the caller's own."""
        backend = self._core.backend
        if backend is None or not backend.capabilities.runs_in_caller:
            return False
        return threading.current_thread() is threading.main_thread()

    # ---- where the function runs elsewhere, and the backend tells what it does (JobSink) ---

    def begun(self) -> None:
        """See `JobSink`."""
        options = self._options
        if options is not None and options.run_timeout is not None and self._started_at is not None:
            try:
                options.limit_run(self, self._started_at)
            except WorkerStartError as error:  # without its limit it must not run
                self._settle_run(functools.partial(self.fail, error.with_traceback(None)))

    def never_began(self) -> None:
        """See `JobSink`."""
        self._started_at = None  # the truth: it never ran
        self._ended_at = self._core.now()
        self._func = self._context = None
        self.slot = None

    def returned(self, value: object) -> None:
        """See `JobSink`."""
        if self.publish(value):
            self.announce()

    def publish(self, value: object) -> bool:
        """See `JobSink`. As the end of `execute`."""
        self._func = self._context = None
        core, options = self._core, self._options
        self._ended_at = now = core.now()
        if options is not None and options.is_past(now):
            self._settle_run(self.expire)
        _ = True in core.taking  # see `JobRecord._advance`
        try:
            stands = _AFTER_SUCCEED[self._state] == _SUCCEEDED
            if stands:
                self._value, self._state, self._outcome = value, _SUCCEEDED, VALUE
                core.done[_SUCCEEDED] += 1
                if not self.worker_id & _SAMPLED:
                    core.sample(self._queued_at, self._started_at, now)
        finally:
            core.lock.release()
        self.slot = None
        return stands and (options is not None or self._waiters is not None or FREE_THREADED)

    def announce(self) -> None:
        """See `JobSink`."""
        self._announce_run()

    def raised(self, error: BaseException) -> None:
        """See `JobSink`."""
        if issubclass(type(error), CancelRequestedError) and self._should_stop():
            self._late = Outcome.STOPPED
        self._end_run(error)

    def _should_stop(self) -> bool:
        """Tell whether the function may know that it should stop: it may know first."""
        options = self._options
        return self.is_over() or (options is not None and options.is_past(self._core.now()))

    def crash(self, error: BaseException) -> None:
        """See `JobSink.crash`."""
        self._late = Outcome.KILLED
        self._end_run(error)

    # ---- ends -----------------------------------------------------------------------------

    def _end_run(self, error: BaseException) -> None:
        """The function has ended without a value: note that, and settle where nobody has."""
        self._func = self._context = None
        core = self._core
        self._ended_at = now = core.now()
        if self.slot is not None:
            self.slot.now = now
        if self._options is not None and self._options.is_past(now):
            self._settle_run(self.expire)
        failure = self._new_failure(error)
        _ = True in core.taking  # see `JobRecord._advance`
        try:
            failed = _AFTER_FAIL[self._state] == _FAILED
            if failed:
                self._value, self._state, self._outcome = failure, _FAILED, ERROR
                core.done[_FAILED] += 1
                if not self.worker_id & _SAMPLED:
                    core.sample(self._queued_at, self._started_at, now)
        finally:
            core.lock.release()
        self.slot = None
        if failed:
            self._announce_run()
        else:
            failure.mark_observed()

    def skip(self, error: BaseException | None = None) -> None:
        """On the slot, before the function is called: it is over, its time is up, or *error*."""
        self._started_at = None  # the truth: it never ran
        self._ended_at = self._core.now()
        self._func = self._context = None
        if not self.is_over():
            self._settle_run(self.expire if error is None else functools.partial(self.fail, error))
        self.slot = None

    def refuse(self, error: BaseException) -> bool:
        """See `JobSink.refuse`."""
        core = self._core
        failure = self._new_failure(error)
        _ = True in core.taking  # see `JobRecord._advance`
        try:
            now = core.now()
            refused = self._state == _PENDING
            if refused:
                self._value, self._state, self._outcome = failure, _FAILED, ERROR
                core.done[_FAILED] += 1
                self._ended_at = now
        finally:
            core.lock.release()
        if not refused:
            failure.mark_observed()
            return False
        self._func = self._context = None
        self._announce_run()
        return True

    def _announce_run(self) -> None:
        """Wake who waits, on a backend's thread, which goes on whatever they raise."""
        try:
            self._announce()
        except BaseException as error:  # noqa: BLE001 - reported
            self._waiter_raised(error)

    def _settle_run(self, settle: Callable[[], bool]) -> None:
        """Settle on a backend's thread by other means than the function's end; see `execute`."""
        try:
            settle()
        except BaseException as error:  # noqa: BLE001 - reported
            self._waiter_raised(error)

    def _waiter_raised(self, error: BaseException) -> None:
        """A callback raised `SystemExit` or its kind: on a worker that ends nobody's work."""
        backend = self._core.backend
        if backend is not None and backend.capabilities.runs_in_caller:
            raise error  # it may be the caller's own Ctrl-C
        logger(__name__).error(
            "a callback of %s raised %r; the worker goes on", self.label, error, exc_info=error
        )


def _of_user(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the user's first frame on: ours tell nothing, and hold the job."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUR_FRAMES:
        trace = trace.tb_next
    return trace
