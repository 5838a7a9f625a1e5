"""A pool in another process than its own: it keeps its name, and refuses all work.

A function that goes to a worker process may hold a pool by the way: as a global, or as an attribute
of the object that it is a method of. So pools travel, as a token, and are again themselves
where they come home. On the way they can do nothing: their workers and their queue
are at home, and a job of that very pool which waited there for another one could wait for ever.
Threads: any. Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final, NoReturn

from runtime.errors import PoolDeadlockError

if TYPE_CHECKING:
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("PoolElsewhere", "find_pool", "token_of")

_at_home: Final[weakref.WeakValueDictionary[bytes, WorkerPool]] = weakref.WeakValueDictionary()


def token_of(pool: WorkerPool) -> bytes:
    """Return what stands for *pool* where it travels."""
    token: bytes = vars(pool).setdefault("_token", os.urandom(16))
    _at_home[token] = pool
    return token


def find_pool(token: bytes, name: str) -> WorkerPool | PoolElsewhere:
    """Return the pool that *token* stands for, or, where that is not in this process, a stub."""
    pool = _at_home.get(token)
    return PoolElsewhere(token, name) if pool is None else pool


class PoolElsewhere:
    """Stands for a `WorkerPool` in a process that is not its own. See the module.

    Args:
        token: Of the pool.
        name: Of the pool.

    Everything that a pool can do raises `PoolDeadlockError` here, whatever the arguments.
    """

    def __init__(self, token: bytes, name: str) -> None:
        self._token = token
        self.name = name

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):  # what copy and pickle look for
            raise AttributeError(attribute)
        self._refuse()

    def __enter__(self) -> NoReturn:
        self._refuse()

    def __exit__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> NoReturn:
        self._refuse()

    async def __aexit__(self, *_: object) -> None:
        pass

    def _refuse(self) -> NoReturn:
        raise PoolDeadlockError(
            f"{self.name} stays in the process that made it (this is process {os.getpid()}): a job "
            "in a worker process cannot use it, for it might wait there for ever; spawn from "
            "outside, let the job return what is to be spawned next, or make a WorkerPool in the "
            "job"
        )

    def __reduce__(self) -> tuple[object, tuple[bytes, str]]:
        return find_pool, (self._token, self.name)

    def __repr__(self) -> str:
        return f"<WorkerPool {self.name!r} in another process>"
