"""`Worker.spawn_all`: jobs that stand or fall together.

Threads: members settle on any thread. Who does what is decided by who pops which token off a list,
which is atomic: the last success, or the first failure, decides the outcome; of a
failure and the end of spawning, whichever comes last tells it, for only then is known what
became of each member.
Source: worker-api-spec.md, section 2.2; ADR-004.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import CANCELLED, ERROR, OPEN, VALUE, OutcomeFuture
from runtime.async_runtime.reports import UnhandledError
from runtime.async_runtime.running import FREE_THREADED, full_fence
from runtime.clock import check_timeout
from runtime.errors import CancellationError
from runtime.workers.cancelling import cancel_each
from runtime.workers.checks import check_callable, check_name
from runtime.workers.handle_state import HandleState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from runtime.workers.job import WorkerFuture
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("SpawnAll",)

T = TypeVar("T")

_STATE_FATES = {HandleState.SUCCEEDED: "had succeeded", HandleState.FAILED: "failed too"}
_OUTCOME_FATES = {
    Outcome.NEVER_RAN: "cancelled before they ran",
    Outcome.ABANDONED: "asked to stop, and still running",
    Outcome.STOPPED: "stopped",
    Outcome.KILLED: "killed",
    Outcome.FINISHED: "ended, and their results were dropped",
}


class _Member:
    """The waker of one job of a group."""

    __slots__ = ("_group", "_job")

    def __init__(self, group: SpawnAll[Any], job: WorkerFuture[Any]) -> None:
        self._group = group
        self._job = job

    def wake(self) -> None:
        """The job has its outcome."""
        self._group._member_settled(self._job)


class SpawnAll(OutcomeFuture[list[T]]):
    """The future of `Worker.spawn_all`. Thread-safe.

    Attributes:
        futures: The futures of the jobs, in order; those that were never spawned, because one had
            failed before their turn came, are missing at the end.
    """

    __slots__ = (
        "_core",
        "_decision",  # popped by whoever decides the outcome
        "_failed",  # the job that failed first; set by who decided so
        "_last_words",  # [0, 1]: popped when spawning ends and when a failure is seen; 0 tells it
        "_place",
        "_successes",  # one is popped for each; 0 is the last one
        "_total",
        "futures",
    )

    def __init__(
        self,
        pool: WorkerPool,
        funcs: Iterable[Callable[[], T]],
        place: tuple[CodeType, int],
        timeout: float | None,
        name: str | None,
        run_timeout: float | None,
    ) -> None:
        self._outcome = OPEN
        self._waiters = None
        self._crowd = None
        self._core = pool._core
        self._place = place
        self._failed: WorkerFuture[T] | None = None
        self.futures: list[WorkerFuture[T]] = []
        functions = list(funcs)
        for func in functions:  # all or none: a bad one must not leave half of them running
            check_callable(func)
        check_timeout("timeout", timeout)
        check_timeout("run_timeout", run_timeout)
        check_name(name)
        self._total = len(functions)
        self._successes = list(range(self._total))
        self._decision = [None]
        self._last_words = [0, 1]
        if not functions:
            self._decision.pop()
            self._publish(VALUE, [])
            return
        try:
            self._spawn_members(pool, functions, timeout, name, run_timeout)
        except BaseException:  # the pool takes no more jobs
            self._cancel_members()
            raise

    def _spawn_members(
        self,
        pool: WorkerPool,
        functions: list[Callable[[], T]],
        timeout: float | None,
        name: str | None,
        run_timeout: float | None,
    ) -> None:
        for index, func in enumerate(functions):
            job_name = None if name is None else f"{name}-{index}"
            job = pool._spawn(*self._place, func, timeout, job_name, run_timeout)
            self.futures.append(job)
            job._subscribe(_Member(self, job))
            if not self._decision and self._failed is not None:
                break  # the rest never runs
        if FREE_THREADED:
            full_fence()  # the members are in the list before we look whether one has failed
        if not self._last_words.pop():
            self._tell_failure()

    def cancel(self) -> bool:
        """Cancel every job; False where there was an outcome already."""
        if not self._may_decide():
            return False
        failure = Failure(CancellationError("the jobs of spawn_all were cancelled"))
        try:
            self._publish(CANCELLED, failure)
        finally:  # whatever a callback raises
            self._cancel_members()
        return True

    def _may_decide(self) -> bool:
        try:
            self._decision.pop()
        except IndexError:
            return False
        return True

    def _member_settled(self, job: WorkerFuture[T]) -> None:
        if job._outcome == VALUE:
            if not self._successes.pop() and self._may_decide():
                self._publish(VALUE, [one._value for one in self.futures])
            return
        if not self._may_decide():
            job._failure().mark_observed()  # the first failure speaks for all
            return
        self._failed = job
        if not self._last_words.pop():
            self._tell_failure()

    def _cancel_members(self) -> None:
        cancel_each(self.futures)

    def _tell_failure(self) -> None:
        """Cancel the others, then publish: all members that there will ever be are there."""
        try:
            self._cancel_members()
        finally:  # whatever a callback of a member raises
            self._publish_failure(cast("WorkerFuture[T]", self._failed))

    def _publish_failure(self, failed: WorkerFuture[T]) -> None:
        error = failed._failure().view()
        trace = error.__traceback__
        error.add_note(f"{failed.label} of spawn_all failed (spawned at {failed.place})")
        for fate, labels in self._fates().items():
            error.add_note(f"{fate}: {', '.join(labels)}")
        if len(self.futures) < self._total:
            error.add_note(f"never spawned: {self._total - len(self.futures)} more")
        if failed.cancelled():
            self._publish(CANCELLED, Failure(error, trace))
            return
        core, place = self._core, self._place

        def report(failure: Failure) -> None:
            core.tell_unhandled(UnhandledError(failure.error, "spawn_all", place))

        self._publish(ERROR, Failure(error, trace, report))

    def _fates(self) -> dict[str, list[str]]:
        """Return what became of the others, in words, and whom that befell."""
        fates: dict[str, list[str]] = {}
        for job in self.futures:
            outcome = job.outcome
            if job is not self._failed and outcome is not None:
                fate = _STATE_FATES.get(job.state) or _OUTCOME_FATES[outcome]
                fates.setdefault(fate, []).append(job.label)
        return fates

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled: nobody waits for the jobs."""
        if not self._waiting():
            self.cancel()

    def __repr__(self) -> str:
        words = ("pending", "ready", "failed", "cancelled")
        return f"<SpawnAll of {self._total} {words[self._outcome]}>"
