"""A pool: it makes jobs, gives them to its backend, and ends them all when it is shut down.

Threads: every method may be called from any thread, from a job of the pool, from callbacks, signal
handlers and finalizers. Locks: the pool's one lock is in its core; see `job` and `backends.thread`.
Hot path: `WorkerPool.spawn` with neither options nor arguments; what the rest needs is in
`_spawn_with_options`.
Source: worker-api-spec.md, sections 2, 7 and 9; ADR-006, ADR-013.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from runtime.async_runtime.promise import Promise
from runtime.async_runtime.reports import log_unhandled
from runtime.backends.base import this_thread
from runtime.backends.inline import InlineBackend
from runtime.backends.thread import ThreadBackend
from runtime.clock import SYSTEM_CLOCK, check_timeout
from runtime.errors import InvalidStateError
from runtime.workers.checks import (
    bind_arguments,
    check_callable,
    check_context,
    check_name,
    check_workers,
)
from runtime.workers.current import running_job
from runtime.workers.job import WorkerFuture
from runtime.workers.lifetime import adopt
from runtime.workers.options import JobOptions, deadline_of
from runtime.workers.pool_core import PoolCore
from runtime.workers.pool_state import PoolEvent, PoolState, next_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType, TracebackType

    from runtime.async_runtime.promise import PromiseFuture
    from runtime.async_runtime.reports import UnhandledError
    from runtime.backends.base import Backend
    from runtime.clock import Clock
    from runtime.scheduling.statistics import PoolStatistics
    from runtime.workers.worker_handle import WorkerHandle

__all__ = ("WorkerPool", "default_max_workers", "uses_inline")

T = TypeVar("T")

_getframe = sys._getframe  # what the standard library itself uses to name a caller
_copy_context = contextvars.copy_context
EXIT_TIMEOUT = 3.0


def default_max_workers() -> int:
    """Return the number of CPUs, 4 where it is unknown."""
    return os.cpu_count() or 4


def uses_inline() -> bool:
    """Tell whether the environment asks for jobs in the caller (``RUNTIME_WORKERS_INLINE=1``)."""
    return os.environ.get("RUNTIME_WORKERS_INLINE", "").strip().lower() in {
        "1",
        "true",
        "yes",
        "on",
    }


class WorkerPool:
    """Runs jobs side by side. Thread-safe.

    Args:
        max_workers: How many jobs run at once; None for one per CPU. Threads are started when
            there is work for them.
        backend: ``"thread"``; ``"inline"`` (in the caller, at the spawn); an object with the methods
            of `Backend`; None: thread, or inline where ``RUNTIME_WORKERS_INLINE=1`` is set.
        name: Shown in messages.
        clock: What deadlines are measured on.
        initializer: Called with *initargs* on each worker before its first job. If it raises,
            the pool is broken: jobs fail with `BrokenPoolError`.
        initargs: See *initializer*.
        on_unhandled: Called once for each failed job whose error nobody can read any more;
            the default logs it at error level with the place of the spawn.
        max_lent: How many more threads there may be for jobs that wait inside of the pool.
        max_abandoned: How many more threads there may be in place of those whose function
            does not return after a timeout or a cancellation.
        exit_timeout: Seconds that the exit of the interpreter waits for running jobs.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range, or *backend* is unknown.

    As a context manager (``with``, or ``async with`` on an executor) it is shut down at the end of
    the block; where the block ends by an exception, jobs that still wait are cancelled. A pool
    that is dropped ends its jobs and lets its workers go.
    """

    _global_pool: ClassVar[WorkerPool | None] = None  # protected by _global_lock
    _global_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        backend: Literal["thread", "inline"] | Backend | None = None,
        name: str = "the pool",
        clock: Clock = SYSTEM_CLOCK,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        on_unhandled: Callable[[UnhandledError], object] | None = None,
        max_lent: int = 64,
        max_abandoned: int = 32,
        exit_timeout: float = EXIT_TIMEOUT,
    ) -> None:
        self.max_workers = (
            default_max_workers() if max_workers is None else check_workers(max_workers)
        )
        self.name = name
        self.exit_timeout = check_timeout("exit_timeout", exit_timeout)
        prepare = None if initializer is None else bind_arguments(initializer, initargs, None)
        core = PoolCore(clock, on_unhandled or log_unhandled)
        core.backend = _make_backend(
            backend, core, self.max_workers, max_lent, max_abandoned, prepare, name
        )
        self._core = core
        self._submit = core.backend.submit
        self._backend = core.backend
        self._state = PoolState.OPEN  # protected by the core's lock; written by _advance only
        # Dropped without shutdown: accepted jobs still end, then the workers leave.
        self._closer = weakref.finalize(self, core.backend.close)
        self._closer.atexit = False  # exit has its own rules: see `lifetime`
        adopt(self)

    # ---- the pool behind `Worker` ---------------------------------------------------------

    @classmethod
    def get_global(cls) -> WorkerPool:
        """Return the default pool: the same object each time, made on first use."""
        pool = cls._global_pool
        if pool is None:
            with cls._global_lock:
                pool = cls._global_pool
                if pool is None:
                    pool = WorkerPool._global_pool = WorkerPool(name="the default pool")
        return pool

    @classmethod
    def configure_global(
        cls, max_workers: int | None = None, **options: Any
    ) -> WorkerPool:  # Any: see __init__
        """Make the default pool with these options; before its first use.

        Raises:
            InvalidStateError: it is "already initialized".
        """
        with cls._global_lock:
            if cls._global_pool is not None:
                raise InvalidStateError(
                    "the default pool is already initialized: configure it before the first "
                    "spawn, or make a WorkerPool of your own and pass pool="
                )
            options.setdefault("name", "the default pool")
            pool = WorkerPool._global_pool = WorkerPool(max_workers, **options)
            return pool

    # ---- spawning -------------------------------------------------------------------------

    def spawn(
        self,
        func: Callable[..., T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        run_timeout: float | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        context: contextvars.Context | None = None,
        interrupt: bool = False,
        cancel_on_abandon: bool = True,
    ) -> WorkerFuture[T]:
        """Run *func* on a worker and return the future of its result.

        Args:
            func: Called once on a worker; without arguments unless *args* or *kwargs* are given.
            timeout: Seconds from this call, queueing included; None for no limit. Inside of a
                job, what is left of that job's own limit counts too.
            name: Shown in errors, logs and statistics; need not be unique.
            run_timeout: Seconds from the start of the run.
            args: Positional arguments of *func*.
            kwargs: Keyword arguments of *func*, of any name.
            context: What *func* runs in; the default is a copy of the caller's.
            interrupt: Where a cancelled or expired *func* runs on, raise
                `CancelRequestedError` in it, at its next Python instruction.
            cancel_on_abandon: Whether cancelling the one task that awaits the future cancels the job.

        Returns:
            A future that gives what *func* returned, or raises what it raised; its ``handle``
            knows everything else.

        Raises:
            TypeError: *func* is not callable, or is a coroutine function; or another argument
                is of the wrong type.
            ValueError: a limit is negative or NaN.
            PoolShutdownError: the pool takes no more jobs.
            WorkerStartError: no worker could be started, and there is none.

        Cancellation: a queued job never runs; a running one runs on until it sees the request,
        and its result is dropped.
        Thread-safety: may be called from any thread.
        Source: worker-api-spec.md, section 2; ADR-013.
        """
        return self._spawn(
            _getframe(1),
            func,
            timeout,
            name,
            run_timeout,
            args,
            kwargs,
            context,
            interrupt,
            cancel_on_abandon,
        )

    def _spawn(  # noqa: PLR0913 - one call on the way from two public signatures to the job
        self,
        frame: FrameType,
        func: Callable[..., T],
        timeout: float | None,
        name: str | None,
        run_timeout: float | None,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        context: contextvars.Context | None,
        interrupt: bool,
        cancel_on_abandon: bool,
    ) -> WorkerFuture[T]:
        check_callable(func)
        if name is not None:
            check_name(name)
        if args or kwargs:
            func = bind_arguments(func, args, kwargs)
        if context is None:
            context = _copy_context()
        else:
            check_context(context)
        slot = this_thread.slot
        if (
            timeout is None
            and run_timeout is None
            and cancel_on_abandon
            and not interrupt
            and (slot is None or deadline_of(cast("WorkerFuture[Any] | None", slot.job)) is None)
        ):
            job = WorkerFuture(self._core, func, name, context, frame.f_code, frame.f_lasti, None)
        else:
            options = JobOptions(
                check_timeout("timeout", timeout),
                check_timeout("run_timeout", run_timeout),
                interrupt=interrupt,
                cancel_on_abandon=cancel_on_abandon,
            )
            job = WorkerFuture(
                self._core, func, name, context, frame.f_code, frame.f_lasti, options
            )
            options.arm(job, running_job())
        self._submit(job)
        return job

    def submit(self, func: Callable[[], T], handle: WorkerHandle[T]) -> None:
        """Run *func* as the job of a handle that was made by hand; its promise is settled.

        Raises:
            TypeError: *func* cannot be run (see `spawn`).
            InvalidStateError: *handle* has been submitted before.
            PoolShutdownError: the pool takes no more jobs.
        """
        check_callable(func)
        job = handle._job
        with self._core.lock:
            if job._func is not None or job._core.backend is not None:
                raise InvalidStateError(
                    f"{handle!r} was submitted already: make a handle for each job"
                )
            if job.is_over():
                return
            job._core = self._core
            job._func = func
        options = job._options
        if options is not None and options.deadline is not None:
            options.timer = self._core.deadlines.add(options.deadline, job.expire)
        self._submit(job)

    def get_next_worker_id(self) -> int:
        """Return a number that no job of this pool has, nor will have."""
        return self._core.next_id()

    # ---- looking --------------------------------------------------------------------------

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
        from runtime.workers.snapshot import take_snapshot  # noqa: PLC0415 - dataclasses load inspect

        return take_snapshot(self._core, self._state, self.max_workers)

    def is_shutdown(self) -> bool:
        """Tell whether the pool takes no more jobs."""
        return self._state is not PoolState.OPEN

    # ---- ending ---------------------------------------------------------------------------

    def cancel_all(self) -> int:
        """Cancel every job that has no outcome yet; return how many that were."""
        waiting = self._backend.drain()
        running = self._backend.jobs()
        return sum(cast("WorkerFuture[Any]", job).cancel() for job in [*waiting, *running])

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until no job waits or runs; False after *timeout* seconds (None: no limit).

        Jobs that are abandoned do not count: they may never return.
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
            Whether the workers have left.
        """
        limit = check_timeout("timeout", timeout)
        self._advance(PoolEvent.SHUT_DOWN)
        self._backend.close()
        if cancel_pending:
            for job in self._backend.drain():
                cast("WorkerFuture[Any]", job).cancel()
        if not wait or not self._backend.join(limit):
            return False
        self._advance(PoolEvent.RUN_DRY)
        return True

    def _advance(self, event: PoolEvent) -> None:
        with self._core.lock:
            self._state = next_state(self._state, event)

    def _closed_future(self) -> PromiseFuture[bool]:
        """Return a future that is ready when the workers have left."""
        promise: Promise[bool] = Promise()
        waiter = threading.Thread(
            target=lambda: promise.resolve(self.shutdown()), name="vela-shutdown", daemon=True
        )
        waiter.start()
        return promise.future()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_pending=error is not None)

    async def __aenter__(self) -> WorkerPool:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(wait=False, cancel_pending=error is not None)
        await self._closed_future()

    def __repr__(self) -> str:
        return f"<WorkerPool {self.name!r} {self._state.value}, {self.max_workers} worker(s)>"


def _make_backend(  # noqa: PLR0913 - the options of a pool that concern the backend
    backend: str | Backend | None,
    core: PoolCore,
    max_workers: int,
    max_lent: int,
    max_abandoned: int,
    initializer: Callable[[], object] | None,
    name: str,
) -> Backend:
    if backend is None:
        backend = "inline" if uses_inline() else "thread"
    if backend == "thread":
        return ThreadBackend(
            core.lock,
            core.clock,
            max_workers,
            max_lent=max_lent,
            max_abandoned=max_abandoned,
            initializer=initializer,
            name=name,
        )
    if backend == "inline":
        return InlineBackend(core.lock, core.clock, initializer=initializer, name=name)
    if isinstance(backend, str) or not hasattr(backend, "submit"):
        raise ValueError(
            f"backend must be 'thread', 'inline' or an object with the methods of Backend, "
            f"got {backend!r}"
        )
    return backend
