"""What is known of one job, and how it is settled: the state machine behind future and handle.

Owns: the state, the outcome, the times. What a backend does with the job is in `job`.
Locks: ``_state`` and what is noted with it change under the pool's lock (``_core.lock``,
re-entrant), and so does the outcome that readers see; waking, calling back and telling the backend
happen outside of it. Whoever made the transition does that; who is woken is taken out first, so
doing it again after an interrupt wakes nobody twice.
Invariant: under the lock nothing is called between looking at the state and assigning it, and
nothing between state and outcome. A signal handler or a finalizer runs between two calls: it may
settle this very job, or raise, and then what is decided has its outcome all the same.
Source: worker-api-spec.md, section 3; ADR-013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import CANCELLED, ERROR, OPEN, VALUE
from runtime.async_runtime.reports import UnhandledError
from runtime.async_runtime.running import FREE_THREADED, full_fence
from runtime.async_runtime.waiters import SleepWaker
from runtime.errors import CancellationError, CancelRequestedError, ForkedError
from runtime.workers.handle_state import (
    IMPOSSIBLE,
    NEXT,
    HandleEvent,
    HandleState,
    Outcome,
    next_state,
)
from runtime.workers.job_facts import JobFacts

if TYPE_CHECKING:
    from runtime.workers.options import JobOptions

__all__ = ("JobRecord",)

T = TypeVar("T")

# Plain ints for the hot path; an IntEnum member compares and indexes more slowly.
_RUNNING: Final = int(HandleState.RUNNING)
_FAILED: Final = int(HandleState.FAILED)
_RESULTS: Final = (HandleEvent.SUCCEED, HandleEvent.FAIL)


class JobRecord(JobFacts[T]):
    """One job, whoever looks at it or settles it. Thread-safe; made by `job.WorkerFuture`."""

    __slots__ = ()

    # ---- settling -------------------------------------------------------------------------

    def complete(self, value: T) -> bool:
        """Settle with *value*; False: another outcome came first and stands."""
        return self._settle_by(HandleEvent.SUCCEED, VALUE, value)

    def fail(self, error: BaseException) -> bool:
        """Settle with *error*; False: another outcome came first and stands."""
        # By its type: the error may have a `__class__` of its own, which may raise.
        if issubclass(type(error), CancelRequestedError) and self.is_over():
            self._late = Outcome.STOPPED
        return self._settle_by(HandleEvent.FAIL, ERROR, self._new_failure(error))

    def cancel(self) -> bool:
        """Settle as cancelled, at once; False where there was an outcome already.

        A queued job never runs. A running one sees the request (`Worker.current`); what it
        does after this is dropped, and `outcome` tells the truth about it.
        """
        return self._settle_by(HandleEvent.CANCEL, CANCELLED, None)

    def expire(self) -> bool:
        """Settle as timed out; False where there was an outcome already."""
        options = cast("JobOptions", self._options)
        error = options.timeout_error(self, self._core.now())
        return self._settle_by(HandleEvent.EXPIRE, ERROR, self._new_failure(error))

    def start(self) -> bool:
        """Claim the job by hand; False where it is over. For backends of one's own."""
        return self._advance(HandleEvent.START) is not None

    def _settle_by(self, event: HandleEvent, outcome: int, value: object) -> bool:
        """Make a transition to an outcome, from outside of the slot; False where it was late."""
        try:
            before = self._advance(event, outcome, value)
            if before is not None:
                self._finish(before)
                return True
            if self._waiters or self._crowd:  # who settled it may have been interrupted
                self._wake_all()
        except BaseException:  # a Ctrl-C between the outcome and its news
            if self._outcome and self._started_at is None:
                self._announce()
            elif self._outcome:  # also its slot, which may be needed for others
                self._finish(_RUNNING)
            raise
        finally:
            if outcome == ERROR and not (self._outcome and self._value is value):
                cast("Failure", value).mark_observed()  # it came too late: nobody's
        return False

    def _advance(self, event: HandleEvent, outcome: int = OPEN, value: object = None) -> int | None:
        """Make one transition; return the state before it, or None where it came too late.

        With the state goes the outcome: what is decided can be read, whatever comes next.
        """
        core = self._core
        _ = True in core.taking  # takes the lock, and no signal can leave it taken: see `locking`
        try:
            if core is not self._core:  # a handle made by hand has just got its pool
                return self._advance(event, outcome, value)
            slot = self.slot
            if slot is not None and not self._state:  # sent ahead: it may have begun elsewhere
                slot.confirm(cast("Any", self))  # Any: a JobSink
            now = core.now()
            # From here on nothing is called: see the module.
            before = self._state
            after = NEXT[before][event]
            if after >= 0:
                self._value, self._state, self._outcome = value, after, outcome
                core.done[after] += 1
            # Where a slot runs the function, the slot notes its end. Without one it has ended
            # when there is a result, be it too late, and is over where it never began.
            is_end = self.slot is None and (event in _RESULTS or before < _RUNNING < after)
            if after == _RUNNING:
                self._started_at = now
            elif is_end and self._ended_at is None:
                self._ended_at = now
        finally:
            core.lock.release()
        if is_end:
            self._func = self._context = None  # outside of the lock: it may free anything
        if after == IMPOSSIBLE:
            next_state(HandleState(before), event)  # raises: a bug
        return before if after >= 0 else None

    def _finish(self, before: int) -> None:
        """Somebody other than its slot has settled this: say so, also to the backend."""
        try:
            self._announce()
        finally:
            self._tell_backend(before)

    def _announce(self) -> None:
        """Wake who waits, outside of the lock. Doing so twice changes nothing.

        Whoever waits may raise; the rest is done all the same.
        """
        if FREE_THREADED:
            full_fence()
        try:
            if self._waiters is not None:
                self._wake_all()
        finally:
            if self._options is not None:
                self._options.after_run(self)

    def _tell_backend(self, before: int) -> None:
        backend = self._core.backend
        if backend is not None:
            backend.note_over(cast("Any", self), was_running=before == _RUNNING)  # Any: a JobSink

    def _settle(self, outcome: int, value: object) -> bool:
        """What the handle's promise does; see `Promise`."""
        if outcome == VALUE:
            return self.complete(cast("T", value))
        if outcome == CANCELLED:
            return self.cancel()
        return self.fail(cast("Failure", value).error)

    def lose_in_fork(self) -> None:
        """In a forked child: settle, and wake nobody: who waits is in the parent."""
        if self._outcome:
            return
        error = ForkedError(
            f"{self.label} runs in the parent process: this forked child never sees its result; "
            "spawn again here"
        )
        self._state = _FAILED
        self._value = Failure(error)
        self._outcome = ERROR
        self._func = self._context = None

    # ---- errors ---------------------------------------------------------------------------

    def _new_failure(self, error: BaseException) -> Failure:
        """Return what readers get; told to the pool's hook where nobody reads it."""
        tell, label, place = self._core.tell_unhandled, self.label, (self._code, self._instruction)
        made = UnhandledError  # kept here: at exit the module may be taken apart before the job

        def report(failure: Failure) -> None:
            tell(made(failure.error, label, place))

        # Whatever the error's class makes of that name: this must not raise.
        return Failure(error, vars(BaseException)["__traceback__"].__get__(error), report)

    def _failure(self) -> Failure:
        if self._outcome == CANCELLED:  # made for who reads it: cancelling itself stays cheap
            return Failure(CancellationError(f"{self.label} was cancelled"))
        return cast("Failure", self._value)

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled: see ``cancel_on_abandon``."""
        options = self._options
        if options is not None and not options.cancel_on_abandon:
            return
        if all(isinstance(waker, SleepWaker) for waker in self._waiting()):  # its own sleep, if any
            self.cancel()
