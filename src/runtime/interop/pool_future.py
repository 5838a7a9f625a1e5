"""The future that an executor gives: a real `concurrent.futures.Future`, settled by a job.

Invariant: the job decides; this shows what it decided. So "running" is asked of the job, a
cancellation is the job's, and so is an outcome that somebody sets by hand.
It is its own waker: the job keeps it among those who wait, and whoever settles the job wakes it.
Threads: any. Source: interop-spec.md, section 2.2; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, TypeVar, cast

from runtime.async_runtime.outcome import CANCELLED, VALUE
from runtime.errors import ForkedError, WorkerRuntimeError
from runtime.interop.broken import as_standard
from runtime.interop.lazy_future import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, LazyFuture
from runtime.workers.cancelling import cancel_waiting
from runtime.workers.handle_state import HandleState

if TYPE_CHECKING:
    from runtime.interop.pool_executor import PoolExecutor
    from runtime.workers import WorkerFuture

__all__ = ("PoolFuture",)

T = TypeVar("T")


class PoolFuture(LazyFuture[T]):
    """See the module. Made by `PoolExecutor.submit`."""

    # Both None once this is settled. Until then an executor that nobody holds stays for its work.
    _job: WorkerFuture[T] | None = None
    _executor: PoolExecutor | None = None

    # ---- settling -------------------------------------------------------------------------

    def wake(self) -> None:
        """The job has its outcome: have the same. Doing so twice changes nothing."""
        job = self._job
        if job is None:
            return
        outcome = job._outcome
        try:
            if outcome == VALUE:
                self._settle(FINISHED, job._value, None)
            elif outcome == CANCELLED:
                self._settle(CANCELLED_AND_NOTIFIED, None, None)
            else:
                self._settle(FINISHED, None, self._error_of(job))
        finally:  # a callback may raise `SystemExit`
            self._job = None
            executor = self._executor
            if executor is not None:
                executor._pending.discard(self)
                self._executor = None

    def _error_of(self, job: WorkerFuture[T]) -> BaseException:
        """Return what the job raised, itself: nobody else reads the job."""
        failure = job._failure()
        failure.mark_observed()
        error = failure.error
        executor = self._executor
        if isinstance(error, WorkerRuntimeError) and executor is not None:
            own = cast("WorkerFuture[object]", job)
            return as_standard(error, own, in_processes=executor._in_processes)
        return error

    def cancel(self) -> bool:
        """Cancel the job where it has not begun; False where it runs, or has ended."""
        job = self._job
        if job is not None:
            cancel_waiting(job)
            if job._outcome:  # by whomever: that one may be about to tell
                self.wake()
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
        if self._state == FINISHED and self._exception is None:
            return cast("T", self._result)
        try:
            return super().result(timeout)  # raises
        finally:
            del self  # the error's traceback keeps this frame, and this keeps the error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the job raised, or None; waits as `result`."""
        if self._state == PENDING:
            self._wait(timeout)
        return super().exception(timeout)

    def _wait(self, timeout: float | None) -> None:
        job = self._job
        if job is not None:
            job._wait(None if timeout is None else max(timeout, 0.0))
            self.wake()  # whoever settled it may be about to

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

    def __repr__(self) -> str:
        state = "running" if self.running() else self._state.lower().replace("_and_notified", "")
        if self._state == FINISHED:
            error = self._exception
            what = type(self._result if error is None else error).__name__
            state += f" {'returned' if error is None else 'raised'} {what}"
        return f"<{type(self).__name__} at {id(self):#x} state={state}>"
