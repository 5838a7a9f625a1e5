"""What the end of the interpreter and a fork mean for the pools of this process.

Exit: the worker threads are daemon threads that nothing joins (see `backends.thread_source`). One
``atexit`` callback, registered when the first pool is made, gives running jobs the
pool's ``exit_timeout``, cancels those that wait, and names in one log line what was left. Where
nothing was, it sees the threads end: one that runs on while the interpreter goes can crash a
build without the GIL (3.13: its state is freed all the same).
Fork: the child gets every pool as new; jobs of the parent fail there with `ForkedError`.
Source: worker-api-spec.md, section 7; ADR-006, ADR-007.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from runtime.backends import waiting
from runtime.backends.thread_source import thread_source
from runtime.logs import logger
from runtime.workers.cancelling import cancel_each
from runtime.workers.pool_state import PoolEvent

if TYPE_CHECKING:
    from runtime.backends.base import Backend
    from runtime.workers.job import WorkerFuture
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("adopt",)

_pools: Final[weakref.WeakSet[WorkerPool]] = weakref.WeakSet()
_hooked: Final[list[bool]] = []
_TO_LEAVE: Final = 1.0  # seconds that threads without work get for their last steps


def adopt(pool: WorkerPool) -> None:
    """From now on exit and fork know *pool*; it is not kept alive by that."""
    _pools.add(pool)
    if not _hooked:
        _hooked.append(True)
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_forked_child)


def _at_exit() -> None:
    """End every pool within its budget; name what is left."""
    pools = list(_pools)
    unrun: list[WorkerFuture[Any]] = []  # Any: of whatever type
    try:
        for pool in pools:
            pool.shutdown(wait=False)
            unrun += cast("list[WorkerFuture[Any]]", _backend(pool).drain())
        cancel_each(unrun)
        _wait_for(pools)
    finally:  # a KeyboardInterrupt ends the wait, and the names are told all the same
        stuck = _tell(pools, len(unrun))
    if not stuck:
        _see_threads_end()


def _wait_for(pools: list[WorkerPool]) -> None:
    """Give what runs the time that each pool allows, all of them side by side."""
    begin = time.monotonic()
    for pool in pools:
        left = None if pool.exit_timeout is None else begin + pool.exit_timeout - time.monotonic()
        _backend(pool).join(None if left is None else max(left, 0.0))


def _see_threads_end() -> None:
    end = time.monotonic() + _TO_LEAVE
    for thread in thread_source().threads():
        thread.join(max(end - time.monotonic(), 0.0))


def _tell(pools: list[WorkerPool], unrun: int) -> bool:
    """Log what is left; tell whether anything still runs."""
    stuck: list[str] = []
    for pool in pools:
        stuck += [f"{job.label} (spawned at {job.place})" for job in _backend(pool).jobs()]
        stuck += [f"{label} (abandoned)" for label, _ in _backend(pool).counts().abandoned]
    if stuck or unrun:
        logger(__name__).warning(
            "the interpreter exits and leaves work behind: %s%s",
            "still running: " + "; ".join(stuck) if stuck else "nothing runs",
            f"; never ran: {unrun} queued job(s)" if unrun else "",
        )
    return bool(stuck)


def _in_forked_child() -> None:
    """Runs in the child, which has one thread, before anything else there."""
    from runtime.workers.worker_pool import WorkerPool  # noqa: PLC0415 - cycle

    thread_source().reset_after_fork()
    waiting.reset_after_fork()
    WorkerPool._global_lock = threading.Lock()
    for pool in list(_pools):
        pool._core.reset_after_fork()
        lost = _backend(pool).reset_after_fork(pool._core.lock)
        pool._advance(PoolEvent.FORK)
        for job in lost:
            cast("WorkerFuture[Any]", job).lose_in_fork()


def _backend(pool: WorkerPool) -> Backend:
    return pool._backend
