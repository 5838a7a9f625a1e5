"""A pool: it makes jobs, gives them to its backend, and ends them all when it is shut down.

Threads: every method may be called from any thread, from a job of the pool, from callbacks, signal
handlers and finalizers. Locks: the pool's one lock is in its core; see `job_record` and
`backends.thread`. How jobs are made is in `spawning`, the pools behind `Worker` in `default_pools`.
Source: worker-api-spec.md, sections 2, 7 and 9; ADR-006, ADR-013.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Self, cast

from runtime.async_runtime.promise import Promise
from runtime.async_runtime.reports import log_unhandled
from runtime.clock import SYSTEM_CLOCK, check_timeout
from runtime.workers.cancelling import cancel_together
from runtime.workers.checks import bind_arguments, check_at_least, check_pool, check_workers
from runtime.workers.current import running_job
from runtime.workers.default_pools import DefaultPools
from runtime.workers.lifetime import adopt
from runtime.workers.pool_backends import BackendOptions, default_max_workers, make_backend
from runtime.workers.pool_core import PoolCore
from runtime.workers.pool_elsewhere import find_pool, token_of
from runtime.workers.pool_state import PoolEvent, PoolState, next_state
from runtime.workers.spawning import JobMaker, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Unpack

    from runtime.async_runtime.promise import PromiseFuture
    from runtime.async_runtime.reports import UnhandledError
    from runtime.backends.process_options import ProcessOptions
    from runtime.clock import Clock
    from runtime.scheduling.statistics import PoolStatistics
    from runtime.workers.job import WorkerFuture
    from runtime.workers.pool_backends import BackendChoice
    from runtime.workers.worker_handle import WorkerHandle

__all__ = ("WorkerPool",)

EXIT_TIMEOUT = 3.0


class WorkerPool(JobMaker, DefaultPools):
    """Runs jobs side by side. Thread-safe.

    Args:
        max_workers: How many jobs run at once; None for one per CPU. Threads are started when
            there is work for them.
        backend: ``"thread"``; ``"process"`` (child processes: real parallelism, and jobs that
            can be killed); ``"inline"`` (in the caller, at the spawn); a function that makes
            a `Backend` of the pool's lock and clock; None: thread, or inline where
            ``RUNTIME_WORKERS_INLINE=1`` is set.
        name: Shown in messages.
        clock: What deadlines are measured on.
        initializer: Called with *initargs* on each worker before its first job. If it raises,
            the pool is broken: jobs fail with `BrokenPoolError`.
        initargs: See *initializer*.
        on_unhandled: Called once for each failed job whose error nobody can read any more;
            the default logs it at error level with the place of the spawn.
        max_lent: How many more threads there may be for jobs that wait inside of the pool.
            Without meaning for processes.
        max_abandoned: How many more threads there may be in place of those whose function
            does not return after a timeout or a cancellation. Without meaning for processes.
        exit_timeout: Seconds that the exit of the interpreter waits for running jobs.
        **process: What only a pool of processes has; see `ProcessOptions`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range, or *backend* is unknown.

    As a context manager (``with``, or ``async with`` on an executor) it is shut down at the end of
    the block; where the block ends by an exception, jobs that still wait are cancelled, and by one
    that is no `Exception` (Ctrl-C), in a pool that can kill, those that run as well. A pool that is
    dropped ends its jobs and lets its workers go.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        backend: BackendChoice = None,
        name: str = "the pool",
        clock: Clock = SYSTEM_CLOCK,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        on_unhandled: Callable[[UnhandledError], object] | None = None,
        max_lent: int = 64,
        max_abandoned: int = 32,
        exit_timeout: float = EXIT_TIMEOUT,
        **process: Unpack[ProcessOptions],
    ) -> None:
        self.max_workers = (
            default_max_workers() if max_workers is None else check_workers(max_workers)
        )
        check_pool(name, clock, initializer=initializer, on_unhandled=on_unhandled)
        check_at_least(0, "max_lent", max_lent)
        check_at_least(0, "max_abandoned", max_abandoned)
        self.name = name
        self.exit_timeout = check_timeout("exit_timeout", exit_timeout)
        prepare = None if initializer is None else bind_arguments(initializer, initargs, None)
        core = PoolCore(clock, on_unhandled or log_unhandled)
        core.backend = make_backend(
            backend,
            core,
            BackendOptions(
                self.max_workers, name, prepare, max_lent, max_abandoned, cast("Any", process)
            ),  # Any: a TypedDict as the mapping that it is
        )
        self._core = core
        self._submit = core.backend.submit
        self._backend = core.backend
        self._state = PoolState.OPEN  # protected by the core's lock; written by _advance only
        adopt(self)

    # ---- looking --------------------------------------------------------------------------

    def get_next_worker_id(self) -> int:
        """Return a number that no job of this pool has, nor will have."""
        return self._core.next_id()

    def get_active_handles(self) -> list[WorkerHandle[Any]]:
        """Return the handles of all jobs that have no outcome yet."""
        return [job.handle for job in self._jobs()]

    def get_active_count(self) -> int:
        """Return how many jobs have no outcome yet."""
        return len(self._jobs())

    def _jobs(self) -> list[WorkerFuture[Any]]:
        return cast("list[WorkerFuture[Any]]", self._backend.jobs())

    def statistics(self) -> PoolStatistics:
        """Return the numbers of this moment, as a frozen copy."""
        from runtime.workers.snapshot import take_snapshot  # noqa: PLC0415 - it is dear to load

        if self._state is PoolState.CLOSING and self._backend.join(0.0):
            self._advance(PoolEvent.RUN_DRY)
        return take_snapshot(self._core, self._state, self.max_workers)

    def is_shutdown(self) -> bool:
        """Tell whether the pool takes no more jobs."""
        return self._state is not PoolState.OPEN

    def warm_up(self, timeout: float | None = None) -> bool:
        """Start all workers now and wait until they are ready; False after *timeout* seconds.

        Raises:
            ValueError: *timeout* is negative or NaN.
            WorkerStartError: a worker cannot be started.
            BrokenPoolError: the initializer fails.
        """
        return self._backend.warm_up(check_timeout("timeout", timeout))

    # ---- ending ---------------------------------------------------------------------------

    def cancel_all(self) -> int:
        """Cancel every job that has no outcome yet; return how many that were."""
        return cancel_together(self._core, self._jobs, running=True)

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until no job waits or runs; False after *timeout* seconds (None: no limit).

        Jobs that are abandoned do not count, for they may never return; nor does the job that
        calls this.

        Raises:
            ValueError: *timeout* is negative or NaN.
        """
        return self._backend.wait_idle(check_timeout("timeout", timeout))

    def shutdown(
        self,
        wait: bool = True,
        cancel_pending: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool:
        """Take no more jobs; those that are here still run. May be called again, from anywhere.

        Args:
            wait: Whether to return only when the workers have left. Functions that do not
                return after a timeout or a cancellation are not waited for, but logged; neither
                does a job of this pool wait for itself.
            cancel_pending: Whether jobs that still wait for a worker are cancelled.
            timeout: Seconds to wait at most; None for no limit.

        Returns:
            Whether the workers have left; False where that was not waited for.

        Raises:
            ValueError: *timeout* is negative or NaN.
        """
        limit = check_timeout("timeout", timeout)
        self._advance(PoolEvent.SHUT_DOWN)
        self._submit = functools.partial(refuse, self.name)  # no method: it would keep the pool
        self._backend.close()
        if cancel_pending:
            cancel_together(self._core, self._jobs, running=False)
        if not wait or not self._backend.join(limit):
            return False
        self._advance(PoolEvent.RUN_DRY)
        return True

    def _advance(self, event: PoolEvent) -> None:
        core = self._core
        _ = True in core.taking
        try:
            self._state = next_state(self._state, event)
        finally:
            core.lock.release()

    def _closed_future(self) -> PromiseFuture[bool]:
        """Return a future that is ready when the workers have left.

        In a job of this pool at once, with False, as `shutdown`: it cannot wait for itself.
        """
        promise: Promise[bool] = Promise()
        job = running_job()
        if job is not None and job._core is self._core:
            promise.resolve(False)
            return promise.future()
        waiter = threading.Thread(
            target=lambda: promise.try_resolve(self.shutdown()), name="vela-shutdown", daemon=True
        )
        waiter.start()
        return promise.future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_block(error)
        self.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_block(error)
        await self._closed_future()

    def _end_block(self, error: BaseException | None) -> None:
        """Take no more jobs, and cancel what nobody waits for once *error* has ended the block."""
        self.shutdown(wait=False, cancel_pending=error is not None)
        if error is None or isinstance(error, Exception):
            return
        if self._backend.capabilities.can_kill:  # whoever stops the program does not wait for them
            self.cancel_all()

    def __reduce__(self) -> tuple[object, tuple[bytes, str]]:
        """In another process it is a `PoolElsewhere`; copied here, it is itself."""
        return find_pool, (token_of(self), self.name)

    def __repr__(self) -> str:
        return f"<WorkerPool {self.name!r} {self._state.value}, {self.max_workers} worker(s)>"
