"""What the end of the interpreter and a fork mean for the pools of this process.

Exit: the worker threads are daemon threads that nothing joins (see `backends.thread_source`). One
``atexit`` callback, registered when the first pool is made, gives running jobs the
pool's ``exit_timeout``, cancels those that wait, and names in one log line what was left. Where
nothing was, it sees the threads end: one that runs on while the interpreter goes can crash a
build without the GIL (3.13: its state is freed all the same).
A pool that nobody holds is known as well, as an orphan, for as long as it has jobs or workers.
Fork: the child gets every pool as new; jobs of the parent fail there with `ForkedError`.
Source: worker-api-spec.md, section 7; ADR-006, ADR-007.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from runtime.backends import waiting
from runtime.backends.thread_source import thread_source
from runtime.logs import logger
from runtime.workers.cancelling import cancel_each
from runtime.workers.pool_state import PoolEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import Backend
    from runtime.workers.job import WorkerFuture
    from runtime.workers.pool_core import PoolCore
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("adopt",)

_pools: Final[weakref.WeakSet[WorkerPool]] = weakref.WeakSet()
_orphans: Final[set[_Orphan]] = set()  # added to, removed from and copied atomically
_hooked: Final[list[bool]] = []
_TO_LEAVE: Final = 1.0  # seconds that threads without work get for their last steps


@runtime_checkable
class _TellsItsEnd(Protocol):
    """A backend that tells when it has ended; of any other that is asked now and then."""

    def when_ended(self, call: Callable[[], object]) -> None: ...


class _Orphan:
    """What is left of a pool that nobody holds: its backend, until that has ended."""

    __slots__ = ("backend", "core", "exit_timeout")

    def __init__(
        self, backend: Backend, core: weakref.ref[PoolCore], exit_timeout: float | None
    ) -> None:
        self.backend = backend
        # Weak, for its hook for unhandled errors may hold the user's objects; jobs hold it.
        self.core = core
        self.exit_timeout = exit_timeout

    def settle(self) -> None:
        """Be forgotten where there is nothing left."""
        if self.backend.join(0.0) and not self.backend.counts().workers:
            self.leave()

    def leave(self) -> None:
        """Be forgotten."""
        _orphans.discard(self)

    def reset_after_fork(self) -> None:
        """In a forked child: let go of what is the parent's; nothing of it ends here."""
        core = self.core()
        if core is not None:
            core.reset_after_fork()
        lock = threading.RLock() if core is None else core.lock
        for job in self.backend.reset_after_fork(lock):
            cast("WorkerFuture[Any]", job).lose_in_fork()


def adopt(pool: WorkerPool) -> None:
    """From now on exit and fork know *pool*; it is not kept alive by that.

    Dropped without shutdown, it ends the jobs that it has, then its workers leave.
    """
    _forget_the_ended()
    _pools.add(pool)
    closer = weakref.finalize(
        pool, _on_dropped, pool._backend, weakref.ref(pool._core), pool.exit_timeout
    )
    closer.atexit = False  # exit has its own rules
    if not _hooked:
        _hooked.append(True)
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_forked_child)


def _on_dropped(backend: Backend, core: weakref.ref[PoolCore], exit_timeout: float | None) -> None:
    """Nobody holds the pool any more; on any thread, wherever it is."""
    orphan = _Orphan(backend, core, exit_timeout)
    _orphans.add(orphan)
    backend.close()
    if isinstance(backend, _TellsItsEnd):
        backend.when_ended(orphan.leave)
    else:
        orphan.settle()


def _forget_the_ended() -> None:
    for orphan in _orphans.copy():
        if not isinstance(orphan.backend, _TellsItsEnd):
            orphan.settle()


def _at_exit() -> None:
    with contextlib.suppress(KeyboardInterrupt):  # it has ended the wait, and all is told
        _end_all()


def _end_all() -> None:
    """End every pool within its budget; name what is left."""
    pools = list(_pools)  # first: one that is dropped after this is held here
    ending = [(_backend(pool), pool.exit_timeout) for pool in pools]
    ending += [(orphan.backend, orphan.exit_timeout) for orphan in _orphans.copy()]
    unrun: list[WorkerFuture[Any]] = []  # Any: of whatever type
    try:
        for pool in pools:
            pool.shutdown(wait=False)
        for backend, _ in ending:
            unrun += cast("list[WorkerFuture[Any]]", backend.drain())
        cancel_each(unrun)
        _wait_for(ending)
    finally:  # a KeyboardInterrupt ends the wait, and the names are told all the same
        stuck = _tell([backend for backend, _ in ending], len(unrun))
    if not stuck:
        _see_threads_end()


def _wait_for(ending: list[tuple[Backend, float | None]]) -> None:
    """Give what runs the time that each pool allows, all of them side by side."""
    begin = time.monotonic()
    for backend, limit in ending:
        left = None if limit is None else max(begin + limit - time.monotonic(), 0.0)
        backend.join(left)


def _see_threads_end() -> None:
    end = time.monotonic() + _TO_LEAVE
    for thread in thread_source().threads():
        thread.join(max(end - time.monotonic(), 0.0))


def _tell(backends: list[Backend], unrun: int) -> bool:
    """Log what is left; tell whether anything still runs."""
    stuck: list[str] = []
    for backend in backends:
        stuck += [f"{job.label} (spawned at {job.place})" for job in backend.jobs()]
        stuck += [f"{label} (abandoned)" for label, _ in backend.counts().abandoned]
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
    for orphan in _orphans.copy():
        orphan.reset_after_fork()
    _orphans.clear()


def _backend(pool: WorkerPool) -> Backend:
    return pool._backend
