"""Jobs that wait inside of a pool: no pool may starve itself, and no circle may form.

A job that waits (``.result()``, or an executor that parks inside of the job) holds its slot.
- It waits for a job of its own pool that is still queued: that job runs in place, on this
  thread, where no time limit forbids it.
- Otherwise the pool may use one more thread for as long as the wait lasts, under a cap.
- It waits for a job that waits, directly or not, for this one: `PoolDeadlockError`, at once.
  A wait with a limit of its own is no part of such a circle: it ends.
At the cap, a wait without limit runs queued jobs in place, whichever is next: it makes way.

The graph of who waits for whom is one edge per slot, ``Slot.waits_for``, under ``_graph``. An
edge is checked when it is added, so the last one of a circle is always refused.
Source: worker-api-spec.md, section 6; ADR-006.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, cast

from runtime.backends.stacking import run_any_in_place, run_in_place
from runtime.errors import PoolDeadlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.outcome import OutcomeFuture
    from runtime.backends.base import JobSink
    from runtime.backends.slot import Slot

__all__ = ("reset_after_fork", "wait_in_job")

_graph: Final = [threading.Lock()]  # one lock for all pools: circles may go through several


def wait_in_job(
    slot: Slot,
    future: OutcomeFuture[Any] | None,  # Any: of whatever type
    limit: float | None,
    block: Callable[[], bool],
) -> bool:
    """Wait for *future* on *slot*'s thread; return what *block* returned, True if settled."""
    if slot.job is None:  # our own code between two jobs: nothing to protect
        return block()
    interrupts = slot.interrupts
    if interrupts is None:
        return _wait(slot, future, limit, block)
    shut = interrupts.shut()  # the job below must not be interrupted in what runs on top of it
    done = _wait(slot, future, limit, block)
    interrupts.reopen(shut)
    return done


def _wait(
    slot: Slot,
    future: OutcomeFuture[Any] | None,  # Any: as above
    limit: float | None,
    block: Callable[[], bool],
) -> bool:
    if limit is None and future is not None:
        if hasattr(future, "claim"):  # a job's; perhaps one that nobody has started
            run_in_place(slot, cast("JobSink", future))
            # Settled by now, or just about to be: who settles may be between its two steps.
            if future.done():
                return True
        _add_edge(slot, future)
    crew = slot.crew
    try:
        lent = crew.lend()
        try:
            while limit is None and not lent and not _settled(future):
                if not run_any_in_place(slot):
                    break
                if future is not None:
                    _add_edge(slot, future)  # again: it did not count while others ran on top
            return True if _settled(future) else block()
        finally:
            if lent:
                crew.take_back()
    finally:
        with _graph[0]:
            slot.waits_for = None


def _settled(future: OutcomeFuture[Any] | None) -> bool:  # Any: as above
    return future is not None and future.done()


def _add_edge(slot: Slot, future: OutcomeFuture[Any]) -> None:  # Any: as above
    """Note that *slot* waits for *future*; refuse where that closes a circle."""
    with _graph[0]:
        chain: list[Any] = []  # Any: jobs, which are futures and sinks at once
        step: Any = future
        while step is not None and not step.done():
            chain.append(step)
            runner: Slot | None = getattr(step, "slot", None)
            if runner is None:
                break
            if runner is slot:
                raise _deadlock(cast("JobSink", slot.job), chain)
            step = getattr(runner, "waits_for", None)
        slot.waits_for = future


def _deadlock(job: JobSink, chain: list[Any]) -> PoolDeadlockError:  # Any: as above
    lines = [f"{job.label} (spawned at {job.place})"]
    lines += [f"waits for {one.label} (spawned at {one.place})" for one in chain]
    if chain[-1] is not job:
        lines.append(f"which runs below {job.label} on the same thread")
    return PoolDeadlockError(
        "these jobs wait for each other and would wait for ever: "
        + ", ".join(lines)
        + "; let one of them return before the other is awaited"
    )


def reset_after_fork() -> None:
    """In a forked child: the parent may have held the lock."""
    _graph[0] = threading.Lock()
