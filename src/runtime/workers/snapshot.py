"""Taking the frozen picture of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runtime.scheduling.statistics import PoolStatistics
from runtime.workers.handle_state import HandleState

if TYPE_CHECKING:
    from runtime.backends.base import Backend
    from runtime.workers.pool_core import PoolCore
    from runtime.workers.pool_state import PoolState

__all__ = ("take_snapshot",)


def take_snapshot(core: PoolCore, state: PoolState, max_workers: int) -> PoolStatistics:
    """Return what *core* and its backend count now: one moment, under the pool's lock."""
    backend = cast("Backend", core.backend)
    _ = True in core.taking
    try:
        counts = backend.counts()
        return PoolStatistics(
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
        )
    finally:
        core.lock.release()
