"""`Worker`: the short way to the default pool.

Source: worker-api-spec.md, section 2; ADR-013.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple, final, overload

from runtime.workers.checks import check_callable
from runtime.workers.current import CurrentJob, current_job
from runtime.workers.group import SpawnAll
from runtime.workers.mapping import MapOptions, MapResults
from runtime.workers.worker_pool import WorkerPool

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Unpack

    from runtime.workers.job import WorkerFuture
    from runtime.workers.options import SpawnOptions
    from runtime.workers.pool_backends import PoolOptions

__all__ = ("Worker",)

BackendName: TypeAlias = Literal["thread", "process", "inline"]
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
U = TypeVar("U")

_getframe = sys._getframe  # what the standard library itself uses to name a caller


@final
class Worker:
    """Functions on workers, without a pool at hand. Everything is a static method.

    All of it uses `WorkerPool.get_global` unless *pool* is given; nothing is kept here.
    """

    @overload
    @staticmethod
    def spawn(
        func: Callable[[Unpack[Ts]], T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        args: tuple[*Ts],
        backend: BackendName | None = None,
        pool: WorkerPool | None = None,
        **options: Unpack[SpawnOptions],
    ) -> WorkerFuture[T]: ...

    @overload
    @staticmethod
    def spawn(
        func: Callable[..., T],
        timeout: float | None = None,
        name: str | None = None,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        backend: BackendName | None = None,
        pool: WorkerPool | None = None,
        **options: Unpack[SpawnOptions],
    ) -> WorkerFuture[T]: ...

    @staticmethod
    def spawn(
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
        backend: BackendName | None = None,
        pool: WorkerPool | None = None,
    ) -> WorkerFuture[T]:
        """Run *func* on a worker and return the future of its result.

        See `WorkerPool.spawn` for everything but *backend*, which of the default pools runs it
        (None: the one that was configured), and *pool*, where it runs instead of those: its
        backend must be *backend* then (`ValueError`), where both are given.
        """
        if backend is not None:
            pool = _choose_pool(pool, backend)
        elif pool is None:
            pool = WorkerPool._global_pool or WorkerPool.get_global()
        frame = _getframe(1)
        return pool._spawn(
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

    @staticmethod
    def spawn_all(
        funcs: Iterable[Callable[[], T]],
        timeout: float | None = None,
        name: str | None = None,
        *,
        run_timeout: float | None = None,
        backend: BackendName | None = None,
        pool: WorkerPool | None = None,
    ) -> SpawnAll[T]:
        """Run all *funcs* side by side; return the future of their results, in order.

        Args:
            funcs: Functions without arguments; none at all gives ``[]``.
            timeout: Seconds for each job, from this call.
            name: Names the jobs: ``name-0``, ``name-1``, ...
            run_timeout: Seconds for each job, from its start.
            backend: Which of the default pools runs them.
            pool: Where they run instead of a default pool.

        Returns:
            A future that fails as soon as one of them fails, whichever it is: jobs that wait never
            run, running ones are asked to stop, and notes on the error tell what became
            of each. Cancelling it cancels them all.

        Raises:
            TypeError: one of *funcs* cannot be run; then none is.
            ValueError: *pool* has another backend than *backend*.
            PoolShutdownError: the pool takes no more jobs; those spawned so far are cancelled.
        """
        frame = _getframe(1)
        return SpawnAll(
            _choose_pool(pool, backend),
            funcs,
            (frame.f_code, frame.f_lasti),
            timeout,
            name,
            run_timeout,
        )

    @staticmethod
    def map(
        func: Callable[[T], U],
        items: Iterable[T],
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        window: int | None = None,
        ordered: bool = True,
        name: str | None = None,
        backend: BackendName | None = None,
        pool: WorkerPool | None = None,
    ) -> MapResults[U]:
        """Call ``func(item)`` for each item on the workers; iterate over the results.

        Args:
            func: Called once for each item.
            items: Read as far as needed: an endless iterator is fine.
            timeout: Seconds for each job (each chunk of items), from its spawn.
            chunksize: How many items one job takes.
            window: How many jobs are on their way at most; None: four for each worker.
            ordered: Whether results come in the order of the items, or as they are ready.
            name: Names the jobs.
            backend: Which of the default pools runs them.
            pool: Where they run instead of a default pool.

        Returns:
            An iterator (plain, and for ``async for`` on an executor). The first error ends it,
            at the place of its item where *ordered*; what *items* raises comes after the results
            of what it had given. Jobs under way are cancelled then, and also when it is closed
            or dropped.

        Raises:
            TypeError: *func* cannot be run, or *items* is not iterable.
            ValueError: *chunksize* or *window* is below 1, or *pool* has another backend than
                *backend*.
            PoolShutdownError: the pool takes no more jobs.
        """
        frame = _getframe(1)
        return MapResults(
            _choose_pool(pool, backend),
            func,
            items,
            (frame.f_code, frame.f_lasti),
            MapOptions(timeout, chunksize, window, name, ordered),
        )

    @staticmethod
    def check(func: Callable[..., object]) -> None:
        """Raise what a pool of processes would raise for *func*; nothing is run or sent.

        Raises:
            TypeError: *func* cannot be called.
            UnpicklableError: it, or what it holds, cannot travel; the message says what.
        """
        from runtime.backends.process.checking import check_travels  # noqa: PLC0415 - rare

        check_callable(func)
        check_travels(func)

    @staticmethod
    def current() -> CurrentJob:
        """Return the job that this thread runs.

        Raises:
            InvalidStateError: called outside of a job.
        """
        return current_job()

    @staticmethod
    def get_pool() -> WorkerPool:
        """Return the default pool; see `WorkerPool.get_global`."""
        return WorkerPool.get_global()

    @staticmethod
    def configure_pool(
        max_workers: int | None = None, **options: Unpack[PoolOptions]
    ) -> WorkerPool:
        """Make the default pool with these options, before its first use.

        Raises:
            InvalidStateError: it is "already initialized".
        """
        return WorkerPool.configure_global(max_workers, **options)


def _choose_pool(pool: WorkerPool | None, backend: BackendName | None) -> WorkerPool:
    """Return *pool*, or the default pool that has *backend*.

    Raises:
        ValueError: there is no such backend, or *pool* has another one.
    """
    if pool is None:
        return WorkerPool.get_global() if backend is None else WorkerPool.get_default(backend)
    if backend is not None:
        found = pool._backend.capabilities.name
        if found != backend:
            raise ValueError(
                f"backend is {backend!r}, but {pool.name} has the backend {found!r}: leave one "
                "of backend= and pool= out"
            )
    return pool
