"""One job: the future that its spawner holds, and the state machine behind the handle.

One object per job, on purpose: it is the read side (an `OutcomeFuture`), it knows the state, and it
is what the backend sees (a `JobSink`). A handle is a view of it, made when somebody asks for one.

Locks: ``_state`` and what is noted with it change under the pool's lock (``_core.lock``, innermost
but for the backend's own bookkeeping, re-entrant); waking, calling back and telling the
backend happen outside of it. Whoever made the transition publishes, so it happens once.
Source: worker-api-spec.md, sections 2 and 3; ADR-013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import CANCELLED, ERROR, OPEN, VALUE, OutcomeFuture
from runtime.async_runtime.places import describe_place
from runtime.async_runtime.reports import UnhandledError
from runtime.backends.base import end_forked_child
from runtime.errors import (
    CancellationError,
    CancelRequestedError,
    ForkedError,
)
from runtime.workers.handle_state import (
    IMPOSSIBLE,
    NEXT,
    HandleEvent,
    HandleState,
    Outcome,
    next_state,
)

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
_START: Final = int(HandleEvent.START)
_SUCCEED: Final = int(HandleEvent.SUCCEED)
_OUR_FRAMES: Final = frozenset({__name__, "runtime.workers.options", "runtime.backends.interrupts"})
_SAMPLED: Final = 7  # every eighth job's times go into the distributions


class WorkerFuture(OutcomeFuture[T]):
    """The future of a spawned job. Thread-safe; see `OutcomeFuture` for the reading side."""

    __slots__ = (
        "_code",  # with _instruction: where it was spawned
        "_context",
        "_core",
        "_ended_at",  # when the function returned, or the job was over without it
        "_func",
        "_instruction",
        "_late",  # what the function did after the job was over; protected by the lock
        "_options",  # None for a job without any
        "_queued_at",
        "_started_at",
        "_state",  # an int of HandleState; protected by the lock
        "name_given",
        "slot",  # where it runs
        "worker_id",
    )

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
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._late: Outcome | None = None
        self.name_given = name
        self.slot: SlotView | None = None
        self.worker_id: int = core.next_id()

    # ---- what the backend calls (JobSink) -------------------------------------------------

    def is_over(self) -> bool:
        """See `JobSink.is_over`."""
        return self._state > _RUNNING

    def is_abandoned(self) -> bool:
        """See `JobSink.is_abandoned`."""
        return self.outcome is Outcome.ABANDONED

    def claim(self, slot: SlotView) -> bool:
        """See `JobSink.claim`. Needs the pool's lock."""
        if NEXT[self._state][_START] != _RUNNING:
            return False
        self._state = _RUNNING
        self.slot = slot
        self._started_at = slot.now or self._core.now()
        return True

    def execute(self) -> None:
        """See `JobSink.execute`: call the function in its context, settle with what it does."""
        options = self._options
        if options is not None:
            if not options.before_run(self):  # its time is up, or has a limit from now on
                return
            if options.interrupt:
                self._func = options.interruptible(self)
        try:
            value = cast("Context", self._context).run(cast("Callable[[], T]", self._func))
        except BaseException as error:  # noqa: BLE001 - it is the job's outcome
            self._run_failed(error)
            return
        # From here on as `complete`, written out: the hot path of every job.
        self._func = self._context = None
        core = self._core
        slot = cast("SlotView", self.slot)
        slot.now = self._ended_at = now = core.now()
        if options is not None and options.is_past(now):
            self.expire()
        lock = core.lock
        lock.acquire()  # a worker thread: no signal handler can raise between these lines
        if NEXT[self._state][_SUCCEED] == _SUCCEEDED:
            self._state = _SUCCEEDED
            core.done[_SUCCEEDED] += 1
            if not self.worker_id & _SAMPLED:
                core.sample(self._queued_at, cast("float", self._started_at), now)
            lock.release()
            self.slot = None
            self._publish(VALUE, value)
            if options is not None:
                options.after_run(self)
        else:
            self._late = Outcome.FINISHED
            lock.release()
            self.slot = None

    def refuse(self, error: BaseException) -> bool:
        """See `JobSink.refuse`: the spawner is told by an exception, so nobody else is."""
        return self._settle_error(HandleEvent.FAIL, error, report=False, only_pending=True)

    @property
    def wants_interrupt(self) -> bool:
        """See `JobSink`."""
        return self._options is not None and self._options.interrupt

    def _run_failed(self, error: BaseException) -> None:
        """Settle with what the function raised. On the slot's thread."""
        self._func = self._context = None
        slot = cast("SlotView", self.slot)
        if slot.forked:
            end_forked_child(error)
        slot.now = self._ended_at = self._core.now()
        error.__traceback__ = _of_user(error.__traceback__)
        if self._options is not None and self._options.is_past(slot.now):
            self.expire()
        if not self._settle_error(HandleEvent.FAIL, error, report=True):
            stopped = isinstance(error, CancelRequestedError)
            self._late = Outcome.STOPPED if stopped else Outcome.FINISHED
        self.slot = None

    # ---- settling by others ---------------------------------------------------------------

    def complete(self, value: T) -> bool:
        """Settle with *value*; False: another outcome came first and stands."""
        if self._advance(HandleEvent.SUCCEED) is None:
            return False
        self._finish(VALUE, value)
        return True

    def fail(self, error: BaseException) -> bool:
        """Settle with *error*; False: another outcome came first and stands."""
        return self._settle_error(HandleEvent.FAIL, error, report=True)

    def cancel(self) -> bool:
        """Settle as cancelled, at once; False where there was an outcome already.

        A queued job never runs. A running one sees the request (`Worker.current`); what it
        does after this is dropped, and `outcome` tells the truth about it.
        """
        before = self._advance(HandleEvent.CANCEL)
        if before is None:
            return False
        self._finish(CANCELLED, None)
        self._tell_backend(before)
        return True

    def expire(self) -> bool:
        """Settle as timed out; False where there was an outcome already."""
        options = cast("JobOptions", self._options)
        now = self._core.now()
        before = self._advance(HandleEvent.EXPIRE)
        if before is None:
            return False
        self._finish(ERROR, self._new_failure(options.timeout_error(self, now), report=True))
        self._tell_backend(before)
        return True

    def expire_unrun(self) -> None:
        """On the slot: the deadline came before the function was called."""
        self._started_at = None  # the truth: it never ran
        self.expire()
        self._ended_at = self._core.now()
        self._func = self._context = None
        self.slot = None

    def start(self) -> bool:
        """Claim the job by hand; False where it is over. For tests and backends of one's own."""
        return self._advance(HandleEvent.START) is not None

    def _advance(self, event: HandleEvent) -> int | None:
        """Make one transition; return the state before it, or None where it came too late."""
        core = self._core
        with core.lock:
            if core is not self._core:  # a handle made by hand has just got its pool
                return self._advance(event)
            before = self._state
            after = NEXT[before][event]
            if after < 0:
                if after == IMPOSSIBLE:
                    next_state(HandleState(before), event)  # raises: a bug
                return None
            self._state = after
            if after == _RUNNING:
                self._started_at = core.now()
            else:
                core.done[after] += 1
                if self.slot is None:  # no function runs that would note its own end
                    self._ended_at = core.now()
        return before

    def _settle_error(
        self,
        event: HandleEvent,
        error: BaseException,
        *,
        report: bool,
        only_pending: bool = False,
    ) -> bool:
        with self._core.lock:
            if only_pending and self._state != _PENDING:
                return False
            if self._advance(event) is None:
                return False
        self._finish(ERROR, self._new_failure(error, report=report))
        return True

    def _finish(self, outcome: int, value: Any) -> None:  # Any: a T or a Failure
        """Publish, outside of the lock, and let go of what is not needed any more."""
        if self._started_at is None:
            self._func = self._context = None
        self._publish(outcome, value)
        if self._options is not None:
            self._options.after_run(self)

    def _tell_backend(self, before: int) -> None:
        backend = self._core.backend
        if backend is not None:
            backend.note_over(self, was_running=before == _RUNNING)

    def _settle(self, outcome: int, value: Any) -> bool:  # Any: a T or a Failure
        """What the handle's promise does; see `Promise`."""
        if outcome == VALUE:
            return self.complete(value)
        if outcome == CANCELLED:
            return self.cancel()
        return self.fail(cast("Failure", value).error)

    def lose_in_fork(self) -> None:
        """In a forked child: settle, without waking threads or callbacks, which are the parent's."""
        if self._outcome:
            return
        error = ForkedError(
            f"{self.label} runs in the parent process: this forked child never sees its result; "
            "spawn again here"
        )
        self._state = int(HandleState.FAILED)
        self._value = Failure(error)
        self._outcome = ERROR
        self._func = self._context = None

    # ---- errors ---------------------------------------------------------------------------

    def _new_failure(self, error: BaseException, *, report: bool) -> Failure:
        if not report:
            return Failure(error, error.__traceback__)
        hook, label, place = self._core.on_unhandled, self.label, (self._code, self._instruction)

        def tell(failure: Failure) -> None:
            hook(UnhandledError(failure.error, label, place))

        return Failure(error, error.__traceback__, tell)

    def _failure(self) -> Failure:
        if self._outcome == CANCELLED:  # made for who reads it: cancelling itself stays cheap
            return Failure(CancellationError(f"{self.label} was cancelled"))
        return cast("Failure", self._value)

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled: see ``cancel_on_abandon``."""
        options = self._options
        if (options is None or options.cancel_on_abandon) and not self._waiters:
            self.cancel()

    # ---- looking --------------------------------------------------------------------------

    @property
    def state(self) -> HandleState:
        """The state now; another thread may change it right after."""
        return HandleState(self._state)

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

    @property
    def outcome(self) -> Outcome | None:
        """What became of the function; None until the job has an outcome."""
        if self._state <= _RUNNING:
            return None
        if self._started_at is None:
            return Outcome.NEVER_RAN
        if self._late is not None:
            return self._late
        return Outcome.ABANDONED if self._ended_at is None else Outcome.FINISHED

    @property
    def handle(self) -> WorkerHandle[T]:
        """A handle of this job: all that is known of it."""
        from runtime.workers.worker_handle import WorkerHandle  # noqa: PLC0415 - cycle

        return WorkerHandle.of(self)

    def __repr__(self) -> str:
        return f"<WorkerFuture {self.worker_id} {self.name!r} {self.state.label}>"


def _of_user(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the user's first frame on: ours tell nothing, and hold the job."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUR_FRAMES:
        trace = trace.tb_next
    return trace
