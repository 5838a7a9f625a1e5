"""The half of a pool that makes jobs and gives them to the backend.

Hot path: `JobMaker.spawn` with neither options nor arguments, `Worker.spawn` likewise.
Threads: any, also a signal handler or a finalizer that interrupts a spawn on the same thread.
Source: worker-api-spec.md, section 2; ADR-013.
"""

from __future__ import annotations

import contextvars
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, TypeVarTuple, cast, overload

from runtime.async_runtime.outcome import ERROR
from runtime.backends.base import this_thread
from runtime.clock import check_timeout
from runtime.errors import InvalidStateError, PoolShutdownError, WorkerStartError
from runtime.workers.cancelling import cancel_together
from runtime.workers.checks import (
    ASYNC_FLAGS,
    bind_arguments,
    check_callable,
    check_context,
    check_name,
)
from runtime.workers.current import running_job
from runtime.workers.job import WorkerFuture
from runtime.workers.options import JobOptions, deadline_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType
    from typing import Unpack

    from runtime.backends.base import JobSink
    from runtime.workers.options import SpawnOptions
    from runtime.workers.pool_core import PoolCore
    from runtime.workers.worker_handle import WorkerHandle

__all__ = ("JobMaker", "refuse")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_getframe = sys._getframe  # what the standard library itself uses to name a caller
_copy_context = contextvars.copy_context
_NO_ARGS: Final = ()  # the default of args, which is one object everywhere


class JobMaker:
    """See `WorkerPool`, which is one."""

    name: str
    _core: PoolCore
    _submit: Callable[[JobSink], None]  # the backend's; `refuse` from the shutdown on

    @overload
    def spawn(
        self,
        func: Callable[[Unpack[Ts]], T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        args: tuple[*Ts],
        **options: Unpack[SpawnOptions],
    ) -> WorkerFuture[T]: ...

    @overload
    def spawn(
        self,
        func: Callable[..., T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SpawnOptions],
    ) -> WorkerFuture[T]: ...

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
            context: What *func* runs in, itself: two jobs cannot be in one at the same time. The
                default is a copy of the caller's.
            interrupt: Where a cancelled or expired *func* runs on, raise
                `CancelRequestedError` in it, at its next Python instruction.
            cancel_on_abandon: Whether the job is cancelled with the last task that awaits it.

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
        frame = _getframe(1)
        return self._spawn(
            frame.f_code,
            frame.f_lasti,
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

    def _spawn(
        self,
        code: CodeType,
        instruction: int,
        func: Callable[..., T],
        timeout: float | None = None,
        name: str | None = None,
        run_timeout: float | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        context: contextvars.Context | None = None,
        interrupt: bool = False,
        cancel_on_abandon: bool = True,
    ) -> WorkerFuture[T]:
        if type(func) is not FunctionType or func.__code__.co_flags & ASYNC_FLAGS:
            check_callable(func)  # it knows the rest; this much is looked at for every job
        if name is not None:
            check_name(name)
        if args is not _NO_ARGS or kwargs is not None:
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
            and (slot is None or deadline_of(running_job()) is None)
        ):
            job = WorkerFuture(self._core, func, name, context, code, instruction, None)
        else:
            options = JobOptions(
                check_timeout("timeout", timeout),
                check_timeout("run_timeout", run_timeout),
                interrupt=interrupt,
                cancel_on_abandon=cancel_on_abandon,
            )
            job = WorkerFuture(self._core, func, name, context, code, instruction, options)
            options.arm(job, running_job())
        try:
            self._submit(job)
        except BaseException as error:  # noqa: BLE001 - raised on
            raise _refusal(job, error) from error.__cause__
        return job

    def _prepare(self, code: CodeType, instruction: int, func: Callable[[], T]) -> WorkerFuture[T]:
        """Return a job that is not handed in yet: an adapter's, which first gets to know it.

        *func* is not looked at: what is no function fails as the job does.
        """
        job = WorkerFuture(self._core, func, None, _copy_context(), code, instruction, None)
        if this_thread.slot is not None and deadline_of(running_job()) is not None:
            job._options = options = JobOptions()
            options.arm(job, running_job())
        return job

    def _hand_in(self, job: WorkerFuture[Any]) -> None:  # Any: any job
        """Run what `_prepare` gave; raises as `spawn`."""
        try:
            self._submit(job)
        except BaseException as error:  # noqa: BLE001 - raised on
            raise _refusal(job, error) from error.__cause__

    def submit(self, func: Callable[[], T], handle: WorkerHandle[T]) -> None:
        """Run *func* as the job of a handle that was made by hand; its promise is settled.

        Settling the promise's future by other means, for instance by cancelling it, cancels
        the job. The limit of the handle counts from when that was made.

        Raises:
            TypeError: *func* cannot be run (see `spawn`).
            InvalidStateError: *handle* has been submitted before.
            PoolShutdownError: the pool takes no more jobs.
        """
        check_callable(func)
        job = handle._job
        frame = _getframe(1)
        if not self._take_over(job, func):
            return
        job._code, job._instruction = frame.f_code, frame.f_lasti
        job._context = _copy_context()
        options = cast("JobOptions", job._options)
        try:
            options.arm(job, running_job())
        except WorkerStartError as error:
            job.refuse(error)
            raise _refusal(job, error) from error.__cause__
        options.follow_promise(job)
        try:
            self._submit(job)
        except BaseException as error:  # noqa: BLE001 - raised on
            raise _refusal(job, error) from error.__cause__

    def _take_over(self, job: WorkerFuture[T], func: Callable[[], T]) -> bool:
        """Make *job* one of ours; False where it is over already.

        Under the lock of its own core, then ours: whoever settles it meanwhile waits for the
        first, and then sees the second (see `JobRecord._advance`).
        """
        old, new = job._core, self._core
        twice = InvalidStateError(
            f"worker {job.worker_id} was submitted already: make a handle for each job"
        )
        if old.backend is not None:
            raise twice
        _ = True in old.taking
        try:
            if job._core is not old:
                raise twice
            if job.is_over():
                return False
            job._func = func
            if old.clock is not new.clock:
                job._queued_at += new.now() - old.now()
            _ = True in new.taking
            try:
                job._core = new
            finally:
                new.lock.release()
        finally:
            old.lock.release()
        return True


def refuse(name: str, job: JobSink) -> NoReturn:
    """Take the place of the backend's ``submit`` when the pool *name* is shut down."""
    error = PoolShutdownError(f"{name} is shut down and takes no more jobs: make a new WorkerPool")
    job.refuse(error)
    raise error


def _refusal(job: WorkerFuture[Any], error: BaseException) -> BaseException:  # Any: any job
    """Return what to raise for *error*, with which a backend has refused *job*: that never runs.

    Its spawner is told by that, so nobody else need be. The error's own traceback has frames that
    may hold the error itself: without it there is no cycle, and the function is freed at once.
    """
    if job._outcome != ERROR:  # a Ctrl-C that came when the backend had it already
        core = job._core
        runs_here = core.backend is not None and core.backend.capabilities.runs_in_caller
        cancel_together(core, lambda: [job], running=runs_here)
        return error
    failure = job._failure()
    view = failure.view()  # and with it, nothing is left to report
    if failure.error is not error:
        return error
    error.__traceback__ = None
    return view
