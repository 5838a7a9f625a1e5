"""`ProcessExecutor`: what to import instead of `concurrent.futures.ProcessPoolExecutor`.

As `thread_executor`: a subclass for programs that look, and nothing of the base class is used.
Source: interop-spec.md, section 2.1; ADR-011.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.process
import os
import sys
import weakref
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from runtime.async_runtime.timers import shared_deadlines
from runtime.interop.broken_processes import ProcessPoolBrokenError
from runtime.interop.owned import bound_initializer, new_pool, number_of_workers
from runtime.interop.pool_executor import PoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext

    from runtime.backends.process_options import ProcessOptions

__all__ = ("ProcessExecutor",)

# There, work that is left when the main program ends must do with the threads that are there.
_STARTS_NO_THREAD_AT_EXIT: Final = sys.version_info[:2] == (3, 12)
_FAR: Final = 1e9  # seconds


class ProcessExecutor(PoolExecutor, ProcessPoolExecutor):
    """Runs calls in child processes of a pool of its own. Thread-safe.

    Args:
        max_workers: How many run at once; None for the number of CPUs.
        mp_context: Of `multiprocessing`. Its start method ``"spawn"`` makes each child a fresh
            interpreter; every other one gives what the pool does by itself.
        initializer: Called with *initargs* in each child before its first job. If it raises,
            the pool is broken: futures fail with `BrokenProcessPool`.
        initargs: See *initializer*.
        max_tasks_per_child: After so many a child is replaced; None: never.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: *max_workers* or *max_tasks_per_child* is below 1.
        UnpicklableError: *initializer* or *initargs* cannot travel.
    """

    owns_pool: ClassVar[bool] = True

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        count = number_of_workers(max_workers, _cpus())
        prepare = bound_initializer(initializer, initargs)
        options: ProcessOptions = {}
        if max_tasks_per_child is not None:
            options["max_jobs_per_worker"] = _checked_tasks(max_tasks_per_child)
        if mp_context is not None and _start_method(mp_context) == "spawn":
            options["start_method"] = "spawn"
        else:
            options["preload"] = ("multiprocessing.process",)  # for `_Preparing`
        # Programs look at it; one that is made here says what holds: nothing is inherited.
        self._mp_context = mp_context or multiprocessing.get_context("spawn")
        PoolExecutor.__init__(self, new_pool(count, "process", _Preparing(prepare), **options))
        if _STARTS_NO_THREAD_AT_EXIT:
            # The watcher of the children's limits ends when there is nothing to watch.
            timer = shared_deadlines().add_in(_FAR, _nothing)
            weakref.finalize(self, timer.cancel).atexit = False

    def terminate_workers(self) -> None:
        """End now: what waits is cancelled, what runs fails with `BrokenProcessPool`.

        Its children are asked to end, and killed where they do not, after the pool's grace.
        """
        self.shutdown(wait=False, cancel_futures=True)
        for future in list(self._pending):
            with suppress(concurrent.futures.InvalidStateError):  # it has just ended by itself
                future.set_exception(ProcessPoolBrokenError("its workers were ended by force"))
        self._pool.cancel_all()

    def kill_workers(self) -> None:
        """Do as `terminate_workers`, which kills where asking does not help."""
        self.terminate_workers()


class _Preparing:
    """The initializer of each child: proxies of a multiprocessing manager work there.

    They prove who they are by a key that children of `multiprocessing` inherit. Here it goes over
    the private channel of the child, as everything does.
    """

    def __init__(self, after: Callable[[], object] | None) -> None:
        self._key = bytes(multiprocessing.process.current_process().authkey)
        self._after = after

    def __call__(self) -> None:
        multiprocessing.process.current_process().authkey = self._key
        if self._after is not None:
            self._after()


def _checked_tasks(max_tasks_per_child: object) -> int:
    if not isinstance(max_tasks_per_child, int):
        raise TypeError(f"max_tasks_per_child must be an integer, got {max_tasks_per_child!r}")
    if max_tasks_per_child <= 0:
        raise ValueError(f"max_tasks_per_child must be >= 1, got {max_tasks_per_child}")
    return max_tasks_per_child


def _start_method(mp_context: object) -> str:
    """Return the name of a context's way to start children.

    Raises:
        TypeError: it is no context of `multiprocessing`.
    """
    get = getattr(mp_context, "get_start_method", None)
    if get is None:
        raise TypeError(
            f"mp_context must be a context of multiprocessing, got {mp_context!r}: "
            'pass multiprocessing.get_context("spawn"), or None'
        )
    return str(get())


def _nothing() -> None:
    """What the far deadline calls."""


def _cpus() -> int:
    count: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1
