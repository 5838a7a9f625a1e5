"""The future that an executor gives: a real `concurrent.futures.Future`, settled by a job.

Invariant: the job decides; this shows what it decided. So "running" is asked of the job, a
cancellation is the job's, and so is an outcome that somebody sets by hand.
It is its own waker: the job keeps it among those who wait, and whoever settles the job wakes it.
Threads: any. Source: interop-spec.md, section 2.2; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.outcome import CANCELLED, VALUE
from runtime.async_runtime.running import FREE_THREADED, full_fence
from runtime.async_runtime.staying import stays_here
from runtime.errors import ForkedError, WorkerRuntimeError
from runtime.interop.broken import as_standard
from runtime.interop.lazy_future import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, LazyFuture
from runtime.workers.cancelling import cancel_waiting
from runtime.workers.handle_state import HandleState

if TYPE_CHECKING:
    from runtime.async_runtime.waker import Waker
    from runtime.interop.pool_executor import PoolExecutor
    from runtime.workers import WorkerFuture

__all__ = ("PoolFuture",)

T = TypeVar("T")


class PoolFuture(LazyFuture[T]):
    """See the module. Made by `PoolExecutor.submit`."""

    wakes_last = True  # it calls callbacks: see `waiters.calls_functions`
    # Both None once this is settled. Until then an executor that nobody holds stays for its work.
    _job: WorkerFuture[T] | None = None
    _executor: PoolExecutor | None = None
    _unheard: bool = False  # whether a thread has waited, and taken it on itself to tell

    # ---- settling -------------------------------------------------------------------------

    def wake(self) -> None:
        """The job has its outcome: have the same. Doing so twice changes nothing."""
        self._follow(calls=True)

    def _note(self) -> None:
        """As `wake`; the callbacks are left to the settler: one may wait for this thread."""
        self._follow(calls=False)

    def _follow(self, *, calls: bool) -> None:
        executor = self._executor  # read first, since it is cleared last: others do this, too
        job = self._job
        if job is None:
            return
        outcome, is_all = job._outcome, True
        try:
            if outcome == VALUE:
                is_all = self._settle(FINISHED, job._value, None, calls=calls)
            elif outcome == CANCELLED:
                is_all = self._settle(CANCELLED_AND_NOTIFIED, None, None, calls=calls)
            else:
                error = _error_of(job, executor)
                is_all = self._settle(FINISHED, None, error, calls=calls)
        finally:  # a callback may raise `SystemExit`
            if is_all:
                self._job = None
                if executor is not None:
                    executor._pending.discard(self)
                    self._executor = None

    def cancel(self) -> bool:
        """Cancel the job where it has not begun; False where it runs, or has ended."""
        job = self._job
        if job is not None:
            cancel_waiting(job)
            if job._outcome:  # by whomever: that one may be about to tell
                self._note()
        return self.cancelled()

    def set_result(self, result: T) -> None:
        """Settle the job by hand; its function never runs, or is abandoned.

        Raises:
            InvalidStateError: of `concurrent.futures`: there is an outcome already.
        """
        job = self._job
        if job is None or not job.complete(result):
            raise concurrent.futures.InvalidStateError(f"{self!r} has an outcome already")

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle the job by hand; as `set_result`."""
        job = self._job
        if job is None or not job.fail(cast("BaseException", exception)):
            raise concurrent.futures.InvalidStateError(f"{self!r} has an outcome already")

    def set_running_or_notify_cancel(self) -> bool:
        """Tell whether it is not cancelled. That it runs is the job's to say: see `running`."""
        return not self.cancelled()

    # ---- looking --------------------------------------------------------------------------

    def done(self) -> bool:
        """Tell whether there is an outcome."""
        job = self._job
        if job is not None and job._outcome:  # and whoever waits for it is about to note it
            self._note()
        return super().done()

    def cancelled(self) -> bool:
        """Tell whether the outcome is a cancellation."""
        return self.done() and super().cancelled()

    def running(self) -> bool:
        """Tell whether the job runs now."""
        job = self._job
        return job is not None and job._state == HandleState.RUNNING

    def result(self, timeout: float | None = None) -> T:
        """Return what the job returned, waiting up to *timeout* seconds; raise what it raised.

        A job that asks for the result of one that waits behind it, in the same pool, runs it in
        place: no pool blocks itself.

        Raises:
            TimeoutError: it takes longer.
            CancelledError: of `concurrent.futures`: it was cancelled.
            BaseException: what the job raised.
        """
        if self._state == PENDING:
            self._wait(timeout)
        if self._state != FINISHED:
            return super().result(timeout)  # raises
        error = self._exception
        if error is None:
            return cast("T", self._result)
        try:
            raise error  # whatever its truth value, which older standard ones ask for
        finally:
            del self, error  # the error's traceback keeps this frame, which would keep the error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the job raised, or None; waits as `result`."""
        if self._state == PENDING:
            self._wait(timeout)
        return super().exception(timeout)

    def _wait(self, timeout: float | None) -> None:
        """Wait for the job, and have its outcome.

        The job tells this thread alone where nobody else is to be told: whatever a worker does
        between waking a thread and letting go of the interpreter has the two get in each other's
        way, which costs several times as much as what it does.
        """
        job = self._job
        if job is None:
            return
        try:
            self._unheard = True
            job._forget(cast("Waker", self))
            if FREE_THREADED:
                full_fence()
            if "_made" in self.__dict__:  # see `_crowd`: either this sees that, or that this
                job._subscribe(self)
            job._wait(None if timeout is None else max(timeout, 0.0))
            self._note()  # also where whoever settled it is about to
        except BaseException:  # its time is up, or Ctrl-C
            job._subscribe(self)
            raise

    def _crowd(self) -> Any:  # noqa: ANN401 - private to the base class
        is_new = "_made" not in self.__dict__
        crowd = super()._crowd()
        if is_new and (FREE_THREADED or self._unheard):  # from now on there is somebody to tell
            job = self._job
            if job is not None:
                job._subscribe(self)
        return crowd

    # ---- the rest -------------------------------------------------------------------------

    def lose_in_fork(self) -> None:
        """In a forked child: fail, and wake nobody: who waits is in the parent."""
        fields = self.__dict__
        fields.pop("_made", None)  # a thread of the parent may have its lock
        fields.pop("_late", None)
        self._job = self._executor = None
        if self._state == PENDING:
            error = ForkedError(
                "this job runs in the parent process: this forked child never sees its result; "
                "submit it again here"
            )
            self._settle(FINISHED, None, error)

    __reduce__ = stays_here

    def __repr__(self) -> str:
        state = "running" if self.running() else self._state.lower().replace("_and_notified", "")
        if self._state == FINISHED:
            error = self._exception
            what = type(self._result if error is None else error).__name__
            state += f" {'returned' if error is None else 'raised'} {what}"
        return f"<{type(self).__name__} at {id(self):#x} state={state}>"


def _error_of(job: WorkerFuture[Any], executor: PoolExecutor | None) -> BaseException:
    """Return what the job raised, itself: nobody else reads the job."""
    failure = job._failure()
    failure.mark_observed()
    error = failure.error
    if isinstance(error, WorkerRuntimeError) and executor is not None:
        return as_standard(error, job, in_processes=executor._in_processes)
    return error
