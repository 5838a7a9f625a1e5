"""`Worker.spawn_all`: jobs that stand or fall together.

Threads: members settle on any thread; whoever pops the last token, or the one right to fail, acts.
Source: worker-api-spec.md, section 2.2; ADR-004.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import CANCELLED, ERROR, OPEN, VALUE, OutcomeFuture
from runtime.async_runtime.reports import UnhandledError
from runtime.errors import CancellationError
from runtime.workers.checks import check_callable
from runtime.workers.handle_state import HandleState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from runtime.async_runtime.waker import Waker
    from runtime.workers.job import WorkerFuture
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("SpawnAll",)

T = TypeVar("T")


class _Member:
    """The waker of one job of a group."""

    __slots__ = ("_group", "job")

    def __init__(self, group: SpawnAll[Any], job: WorkerFuture[Any]) -> None:
        self._group = group
        self.job = job

    def wake(self) -> None:
        """The job has its outcome."""
        self._group._member_settled(self.job)


class SpawnAll(OutcomeFuture[list[T]]):
    """The future of `Worker.spawn_all`. Thread-safe.

    Attributes:
        futures: The futures of the jobs, in order; those that were never spawned, because one had
            failed before their turn came, are missing at the end.
    """

    __slots__ = ("_decide", "_place", "_pool", "_tokens", "futures")

    def __init__(
        self,
        pool: WorkerPool,
        funcs: Iterable[Callable[[], T]],
        frame: FrameType,
        timeout: float | None,
        name: str | None,
        run_timeout: float | None,
    ) -> None:
        self._outcome = OPEN
        self._waiters = None
        self._crowd = None
        self._pool = pool
        self._place = (frame.f_code, frame.f_lasti)
        self.futures: list[WorkerFuture[T]] = []
        functions = list(funcs)
        for func in functions:  # all or none: a bad one must not leave half of them running
            check_callable(func)
        self._tokens = [None] * len(functions)  # one is popped for each success
        self._decide: list[None] = [None]  # popped by whoever decides the outcome
        if not functions:
            self._decide.pop()
            self._publish(VALUE, [])
        for index, func in enumerate(functions):
            if self._outcome:
                break  # one has failed already: the rest never runs
            job_name = None if name is None else f"{name}-{index}"
            job = pool._spawn(
                frame,
                func,
                timeout,
                job_name,
                run_timeout,
                (),
                None,
                None,
                False,
                True,
            )
            self.futures.append(job)
            job._subscribe(cast("Waker", _Member(self, job)))  # cast: it needs wake() alone
        if self._outcome == ERROR or self._outcome == CANCELLED:
            self._cancel_members()  # those spawned while another thread saw the failure

    def cancel(self) -> bool:
        """Cancel every job; False where there was an outcome already."""
        if not self._may_decide():
            return False
        self._publish(CANCELLED, Failure(CancellationError("the jobs of spawn_all were cancelled")))
        self._cancel_members()
        return True

    def _may_decide(self) -> bool:
        try:
            self._decide.pop()
        except IndexError:
            return False
        return True

    def _member_settled(self, job: WorkerFuture[T]) -> None:
        if job._outcome == VALUE:
            self._tokens.pop()
            if not self._tokens and self._may_decide():
                self._publish(VALUE, [cast("T", one._value) for one in self.futures_in_order()])
            return
        if not self._may_decide():
            job._failure().mark_observed()  # the first failure speaks for all
            return
        self._cancel_members()
        self._publish(ERROR, self._failure_of(job))

    def futures_in_order(self) -> list[WorkerFuture[T]]:
        """Return the futures; complete once all have succeeded."""
        return self.futures

    def _cancel_members(self) -> None:
        for job in self.futures:
            job.cancel()

    def _failure_of(self, failed: WorkerFuture[T]) -> Failure:
        """Return the failure of the group: the job's own error, with notes on the others."""
        error = failed._failure().view()
        trace = error.__traceback__
        error.add_note(f"{failed.label} of spawn_all failed (spawned at {failed.place})")
        for text, jobs in self._by_fate(failed).items():
            if jobs:
                error.add_note(f"{text}: {', '.join(jobs)}")
        missing = len(self._tokens) and self._unspawned()
        if missing:
            error.add_note(f"never spawned: {missing} more")
        hook, place, label = self._pool._core.on_unhandled, self._place, "spawn_all"

        def report(failure: Failure) -> None:
            hook(UnhandledError(failure.error, label, place))

        return Failure(error, trace, report)

    def _by_fate(self, failed: WorkerFuture[T]) -> dict[str, list[str]]:
        fates: dict[str, list[str]] = {
            "had succeeded": [],
            "cancelled before they ran": [],
            "asked to stop, and still running": [],
            "stopped": [],
            "failed too": [],
        }
        for job in self.futures:
            if job is failed:
                continue
            if job._state == HandleState.SUCCEEDED:
                fates["had succeeded"].append(job.label)
            elif job.outcome is Outcome.NEVER_RAN:
                fates["cancelled before they ran"].append(job.label)
            elif job.outcome is Outcome.ABANDONED:
                fates["asked to stop, and still running"].append(job.label)
            elif job._state == HandleState.CANCELLED:
                fates["stopped"].append(job.label)
            else:
                fates["failed too"].append(job.label)
        return fates

    def _unspawned(self) -> int:
        total = len(self._tokens) + sum(job._state == HandleState.SUCCEEDED for job in self.futures)
        return max(total - len(self.futures), 0)

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled: nobody waits for the jobs."""
        if not self._waiters:
            self.cancel()

    def __repr__(self) -> str:
        words = ("pending", "ready", "failed", "cancelled")
        return f"<SpawnAll of {len(self.futures)} {words[self._outcome]}>"
