"""Taking the frozen picture of a pool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from runtime.scheduling.statistics import ChildStatistics, PoolStatistics
from runtime.workers.handle_state import HandleState

if TYPE_CHECKING:
    from runtime.backends.base import Backend, ChildView
    from runtime.workers.pool_core import PoolCore
    from runtime.workers.pool_state import PoolState

__all__ = ("take_snapshot",)


def take_snapshot(core: PoolCore, state: PoolState, max_workers: int) -> PoolStatistics:
    """Return what *core* and its backend count now: one moment, under the pool's lock."""
    backend = cast("Backend", core.backend)
    children: tuple[ChildStatistics, ...] = ()
    _ = True in core.taking
    try:
        counts = backend.counts()
        taken = PoolStatistics(
            backend=backend.capabilities.name,
            state=state.value,
            max_workers=max_workers,
            workers=counts.workers,
            idle=counts.idle,
            queued=counts.queued,
            running=counts.running,
            abandoned=len(counts.abandoned),
            abandoned_names=counts.abandoned,
            lent=counts.lent,
            at_abandoned_cap=counts.at_abandoned_cap,
            succeeded=core.done[HandleState.SUCCEEDED],
            failed=core.done[HandleState.FAILED],
            timed_out=core.done[HandleState.TIMED_OUT],
            cancelled=core.done[HandleState.CANCELLED],
            wait_time=core.wait_time.freeze(),
            run_time=core.run_time.freeze(),
            restarts=counts.restarts,
            recycled=counts.recycled,
        )
    finally:
        core.lock.release()
    if counts.children:  # what reads files is done outside of the lock
        children = tuple(_with_memory(child) for child in counts.children)
    return replace(taken, children=children) if children else taken


def _with_memory(child: ChildView) -> ChildStatistics:
    from runtime.backends.process.memory import memory_of  # noqa: PLC0415 - only for processes

    memory = memory_of(child.pid) if child.pid else None
    return ChildStatistics(*child, *((None, None, None) if memory is None else memory))
