"""What the end of the interpreter and a fork mean for executors over pools.

Exit: an executor with a pool of its own keeps the standard library's promise: what it accepted ends
first, however long that takes. A pool that is only lent keeps its own rules (see
`runtime.workers.lifetime`, whose callback was registered before this one, so it runs after it).
Fork: in the child, futures of the parent's jobs fail with `ForkedError`.
Source: interop-spec.md, section 2.5; ADR-011.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.interop.pool_executor import PoolExecutor

__all__ = ("adopt",)

_executors: Final[weakref.WeakSet[PoolExecutor]] = weakref.WeakSet()
_hooked: Final[list[bool]] = []


def adopt(executor: PoolExecutor) -> None:
    """From now on exit and fork know *executor*; it is not kept alive by that."""
    _executors.add(executor)
    if not _hooked:
        _hooked.append(True)
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_forked_child)


def _at_exit() -> None:
    for executor in list(_executors):
        if executor.owns_pool:
            executor.shutdown(wait=True)


def _in_forked_child() -> None:
    """Runs after the pools' own callback: they are as new here."""
    for executor in list(_executors):
        executor.reset_after_fork()
