"""The pools behind `Worker`: the default one, and those that were asked for by their backend.

Owns: which pools these are. They are made on first use, and end as any other pool does.
Threads: any; whoever makes one holds ``_global_lock``.
Source: worker-api-spec.md, section 2.4.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from typing import Literal, Unpack

    from runtime.workers.pool_backends import PoolOptions
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("DefaultPools",)


class DefaultPools:
    """See `WorkerPool`, which is one."""

    _global_pool: ClassVar[WorkerPool | None] = None  # protected by _global_lock
    # The default pools of backends that were asked for by name; protected by _global_lock.
    _named_pools: ClassVar[dict[str, WorkerPool]] = {}
    _global_lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def get_global(cls) -> WorkerPool:
        """Return the default pool: the same object each time, made on first use."""
        pool = cls._global_pool
        if pool is None:
            with cls._global_lock:
                pool = cls._global_pool
                if pool is None:
                    from runtime.workers.worker_pool import WorkerPool  # noqa: PLC0415 - cycle

                    pool = WorkerPool._global_pool = WorkerPool(name="the default pool")
        return pool

    @classmethod
    def get_default(cls, backend: Literal["thread", "process", "inline"]) -> WorkerPool:
        """Return the default pool where it has this backend, else one more that has it.

        The same object each time, made on first use.

        Raises:
            ValueError: there is no such backend.
        """
        pool = cls._global_pool
        if pool is not None and pool._backend.capabilities.name == backend:
            return pool
        pool = cls._named_pools.get(backend)
        if pool is None or pool.is_shutdown():
            with cls._global_lock:
                pool = cls._named_pools.get(backend)
                if pool is None or pool.is_shutdown():
                    from runtime.workers.worker_pool import WorkerPool  # noqa: PLC0415 - cycle

                    pool = WorkerPool(backend=backend, name=f"the default {backend} pool")
                    cls._named_pools[backend] = pool
        return pool

    @classmethod
    def configure_global(
        cls, max_workers: int | None = None, **options: Unpack[PoolOptions]
    ) -> WorkerPool:
        """Make the default pool with these options; before its first use.

        Raises:
            InvalidStateError: it is "already initialized".
        """
        from runtime.workers.worker_pool import WorkerPool  # noqa: PLC0415 - cycle

        with cls._global_lock:
            if cls._global_pool is not None:
                raise InvalidStateError(
                    "the default pool is already initialized: configure it before the first "
                    "spawn, or make a WorkerPool of your own and pass pool="
                )
            options.setdefault("name", "the default pool")
            pool = WorkerPool._global_pool = WorkerPool(max_workers, **options)
            return pool
