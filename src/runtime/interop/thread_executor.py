"""`ThreadExecutor`: what to import instead of `concurrent.futures.ThreadPoolExecutor`.

It is a subclass of that class for programs that look (``loop.set_default_executor`` does), and of
`PoolExecutor` first, so nothing of the other is ever used: no queue, no threads, no ``__init__``.
Source: interop-spec.md, section 2.1; ADR-011.
"""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from runtime.interop.owned import bound_initializer, new_pool, number_of_workers
from runtime.interop.pool_executor import PoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ThreadExecutor",)

_MOST: int = 32  # threads by default, as the standard library has it


class ThreadExecutor(PoolExecutor, ThreadPoolExecutor):
    """Runs calls on threads of a pool of its own. Thread-safe.

    Args:
        max_workers: How many run at once; None for the number of CPUs and 4, 32 at most.
        thread_name_prefix: Threads are named ``<prefix>_<n>``; empty: ``vela-worker-<n>``.
        initializer: Called with *initargs* on each thread before its first job. If it raises,
            the pool is broken: futures fail with `BrokenThreadPool`.
        initargs: See *initializer*.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: *max_workers* is below 1.
    """

    owns_pool: ClassVar[bool] = True

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        count = number_of_workers(max_workers, min(_MOST, _cpus() + 4))
        prepare = bound_initializer(initializer, initargs)
        if thread_name_prefix:
            prepare = _Naming(thread_name_prefix, prepare)
        self._thread_name_prefix = thread_name_prefix
        PoolExecutor.__init__(self, new_pool(count, "thread", prepare))


class _Naming:
    """The initializer of a pool whose threads have names of their own."""

    def __init__(self, prefix: str, after: Callable[[], object] | None) -> None:
        self._prefix, self._after = prefix, after
        self._number = itertools.count().__next__

    def __call__(self) -> None:
        threading.current_thread().name = f"{self._prefix}_{self._number()}"
        if self._after is not None:
            self._after()


def _cpus() -> int:
    count: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1
