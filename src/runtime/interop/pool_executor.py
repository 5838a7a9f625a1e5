"""A pool as an executor of `concurrent.futures`.

Threads: every method may be called from any thread, from jobs, callbacks, signal handlers and
finalizers: the only state of its own is a set, which changes by atomic calls.
Hot path: `PoolExecutor.submit`.
Source: interop-spec.md, section 2; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, TypeVar

from runtime.async_runtime.staying import stays_here
from runtime.backends.base import this_thread
from runtime.errors import BrokenPoolError, PoolShutdownError, WorkerStartError
from runtime.interop.broken import translated
from runtime.interop.endings import adopt
from runtime.interop.mapping import check_sizes, in_chunks, results_of, run_chunk, unchunked
from runtime.interop.pool_future import PoolFuture
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType

__all__ = ("PoolExecutor",)

P = ParamSpec("P")
T = TypeVar("T")

_getframe = sys._getframe  # see `runtime.workers.spawning`
_partial = functools.partial
_SHUT_DOWN: Final = "cannot schedule new futures after shutdown"  # the words programs look for


class PoolExecutor(concurrent.futures.Executor):
    """Runs what it is given on a pool that is there already. Thread-safe.

    Args:
        pool: Lent, not given away: `shutdown` ends this executor and waits for its work; the pool
            goes on.

    Raises:
        TypeError: *pool* is no `WorkerPool`.
    """

    owns_pool: ClassVar[bool] = False
    """Whether `shutdown` also ends the pool."""

    def __init__(self, pool: WorkerPool) -> None:
        if not isinstance(pool, WorkerPool):
            raise TypeError(
                f"PoolExecutor needs a WorkerPool, got {pool!r} ({type(pool).__name__}): "
                "make one, or take ThreadExecutor or ProcessExecutor, which have their own"
            )
        self._pool = pool
        self._in_processes = pool._backend.capabilities.needs_pickle
        self._max_workers = pool.max_workers  # what dask and others read
        self._shutdown = False  # written by shutdown only; others look at this name, too
        self._pending: set[PoolFuture[Any]] = set()  # Any: of whatever type
        adopt(self)

    @property
    def pool(self) -> WorkerPool:
        """The pool that does the work."""
        return self._pool

    # ---- giving it work -------------------------------------------------------------------

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Run ``fn(*args, **kwargs)`` on a worker and return the future of its result.

        Raises:
            RuntimeError: the executor, or its pool, is shut down.
            BrokenExecutor: the pool is broken; also the standard class of its kind.
            WorkerStartError: no worker could be started, and there is none.
        """
        frame = _getframe(1)
        call = _partial(fn, *args, **kwargs) if args or kwargs else fn
        return self._submit(frame.f_code, frame.f_lasti, call)

    def _submit(self, code: CodeType, instruction: int, call: Callable[..., T]) -> PoolFuture[T]:
        self._refuse_when_shut_down()
        pool = self._pool
        future: PoolFuture[T] = PoolFuture()
        future._job = job = pool._prepare(code, instruction, call)
        future._executor = self
        job._waiters = [future]
        self._pending.add(future)
        try:
            self._refuse_when_shut_down()  # after the add: `shutdown` sees that, or this sees it
            pool._hand_in(job)
        except PoolShutdownError as error:
            raise RuntimeError(_SHUT_DOWN) from error
        except BrokenPoolError as error:
            raise translated(error, in_processes=self._in_processes) from error.__cause__
        except BaseException as error:
            job.cancel()
            if not isinstance(error, Exception) or isinstance(error, WorkerStartError):
                raise
            if future.cancelled():
                raise
            # The job was refused, for instance because it cannot travel: the future tells.
        return future

    def _refuse_when_shut_down(self) -> None:
        if self._shutdown:
            raise RuntimeError(_SHUT_DOWN)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator of ``fn(*args)`` for the arguments that *iterables* give side by side.

        Args:
            fn: Called on workers.
            *iterables: As of the builtin ``map``.
            timeout: Seconds from this call for all results; None for no limit.
            chunksize: Calls that travel together to a process; on threads it changes nothing.
            buffersize: How many calls are submitted before their results are taken; None: all,
                now. With it *iterables* may be endless.

        Raises:
            TypeError: a size is no whole number.
            ValueError: a size is below 1.
            RuntimeError, BrokenExecutor, WorkerStartError: as `submit`.
            TimeoutError: from the iterator, when *timeout* is over.
        """
        check_sizes(chunksize, buffersize)
        frame = _getframe(1)
        place = frame.f_code, frame.f_lasti
        calls = zip(*iterables, strict=False)
        if chunksize == 1 or not self._in_processes:
            return results_of(self._submitter(place, fn), calls, timeout, buffersize)
        chunks = in_chunks(calls, chunksize)
        submit = self._submitter(place, _partial(run_chunk, fn))
        return unchunked(results_of(submit, chunks, timeout, buffersize))

    def _submitter(
        self, place: tuple[CodeType, int], fn: Callable[..., T]
    ) -> Callable[[tuple[Any, ...]], concurrent.futures.Future[T] | None]:
        """Return what submits calls of *fn* for as long as somebody holds this executor."""
        reference = weakref.ref(self)
        # A `submit` of a subclass sees every call, as it does in the standard library.
        is_ours = getattr(self.submit, "__func__", None) is PoolExecutor.submit

        def submit(args: tuple[Any, ...]) -> concurrent.futures.Future[T] | None:
            executor = reference()
            if executor is None:
                return None
            if not is_ours:
                return executor.submit(fn, *args)
            return executor._submit(*place, _partial(fn, *args))

        return submit

    # ---- ending ---------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what was taken ends. May be called again, from anywhere.

        Args:
            wait: Whether to return only when all of it has ended. A job does not wait for itself.
            cancel_futures: Whether what has not begun is cancelled.
        """
        self._shutdown = True
        if self.owns_pool:
            self._pool.shutdown(wait=False)
        if cancel_futures:
            for future in list(self._pending):
                future.cancel()
        if wait and self.owns_pool:
            self._pool.shutdown(wait=True)
        elif wait:
            self._wait()

    def _wait(self) -> None:
        """Wait for the work that was taken; the pool may have more, which is not ours."""
        here = this_thread.slot
        if here is None:
            concurrent.futures.wait(list(self._pending))
            return
        for future in list(self._pending):
            job = future._job
            if job is not None and job.slot is not here:
                future._wait(None)

    def reset_after_fork(self) -> None:
        """In a forked child: nothing of the parent's work ends here."""
        for future in list(self._pending):
            future.lose_in_fork()
        self._pending.clear()

    __reduce__ = stays_here

    def __repr__(self) -> str:
        state = "shut down" if self._shutdown else "open"
        return f"<{type(self).__name__} {state}, {self._max_workers} worker(s)>"
