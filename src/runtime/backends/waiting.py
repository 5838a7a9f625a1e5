"""Jobs that wait inside of a pool: no pool may starve itself, and no circle may form.

A job that waits (``.result()``, or an executor that parks inside of the job) holds its slot.
- It waits for a job of its own pool that is still queued: that job runs in place, on this
  thread, where no time limit forbids it.
- Otherwise the pool may use one more thread for as long as the wait lasts, under a cap.
- It waits for a job that waits, directly or not, for this one: `PoolDeadlockError`, at once.
  A wait with a limit of its own is no part of such a circle: it ends.
At the cap, a wait without limit runs queued jobs in place, whichever is next: it makes way.

The graph of who waits for whom is kept in the slots, under ``_graph``: ``waits_for`` a future, or
``waits_for_all``, that is until a pool is idle or has ended. A wait is checked when it is noted,
so the last one of a circle is always refused.
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
    from runtime.backends.crew import Crew
    from runtime.backends.slot import Slot

__all__ = ("reset_after_fork", "wait_for_all", "wait_in_job")

_graph: Final = [threading.Lock()]  # one lock for all pools: circles may go through several


def wait_in_job(
    slot: Slot,
    future: OutcomeFuture[Any] | None,  # Any: of whatever type
    limit: float | None,
    block: Callable[[], bool],
    needed: OutcomeFuture[Any] | None = None,  # Any: as above
) -> bool:
    """Wait for *future* on *slot*'s thread; return what *block* returned, True if settled.

    Where *future* is None it ends by anything, but the job cannot end without *needed*.
    """
    if slot.job is None:  # our own code between two jobs: nothing to protect
        return block()
    interrupts = slot.interrupts
    if interrupts is None:
        return _wait(slot, future, limit, block, needed)
    shut = interrupts.shut()  # the job below must not be interrupted in what runs on top of it
    try:
        return _wait(slot, future, limit, block, needed)
    finally:
        interrupts.reopen(shut)


def _wait(
    slot: Slot,
    future: OutcomeFuture[Any] | None,  # Any: as above
    limit: float | None,
    block: Callable[[], bool],
    needed: OutcomeFuture[Any] | None,  # Any: as above
) -> bool:
    if limit is None and future is not None:
        if hasattr(future, "claim"):  # a job's; perhaps one that nobody has started
            run_in_place(slot, cast("JobSink", future))
            # Settled by now, or just about to be: who settles may be between its two steps.
            if future.done():
                return True
        needed = future
    crew = slot.crew
    try:
        if limit is None:
            _add_edge(slot, needed)
        lent = crew.lend(slot)
        try:
            while limit is None and not lent and not _settled(future):
                if not run_any_in_place(slot):
                    break
                _add_edge(slot, needed)  # again: it did not count while others ran on top
            return True if _settled(future) else block()
        finally:
            if lent:
                crew.take_back(slot)
    finally:
        with _graph[0]:
            slot.waits_for = None


def wait_for_all(
    slot: Slot, crew: Crew, wait: Callable[[], bool], *, limited: bool, idle: bool
) -> bool:
    """Call *wait*: the job of *slot* waits until *crew* is *idle*, or has ended.

    Raises:
        PoolDeadlockError: a job of *crew* waits for this one, and there is no limit.
    """
    if slot.job is None:
        return wait()
    outer = slot.waits_for_all, slot.idles
    try:
        if idle and slot.crew is crew:  # jobs that all wait for idleness do not wait for each other
            slot.idles = slot.job
            crew.watchers.tell()
        if not limited:
            slot.waits_for_all = crew
        return wait()
    finally:
        slot.waits_for_all, slot.idles = outer


def _settled(future: OutcomeFuture[Any] | None) -> bool:  # Any: as above
    return future is not None and future.done()


def _add_edge(slot: Slot, future: OutcomeFuture[Any] | None) -> None:  # Any: as above
    """Note that *slot* waits, for *future* perhaps; refuse where that closes a circle."""
    with _graph[0]:
        slot.waits_for = future
        chain = _circle(slot)
        if chain:
            slot.waits_for = None
            raise _deadlock(cast("JobSink", slot.job), chain)


def _circle(start: Slot) -> list[str]:
    """Return what is waited for from *start* back to it; empty where that is no circle."""
    seen: set[Slot] = set()
    paths: list[tuple[Slot, list[str]]] = [(start, [])]
    while paths:
        slot, chain = paths.pop()
        for what, runner in _waited_for(slot):
            if runner is start:
                return [*chain, what]
            if runner not in seen:
                seen.add(runner)
                paths.append((runner, [*chain, what]))
    return []


def _waited_for(slot: Slot) -> list[tuple[str, Slot]]:
    """Return the slots without which that of *slot* cannot go on, with what it waits for there."""
    future: Any = slot.waits_for  # Any: perhaps a job, which is a future and a sink at once
    if future is not None:
        runner: Slot | None = None if future.done() else getattr(future, "slot", None)
        if runner is None or not hasattr(runner, "waits_for"):
            return []
        on_top = runner.job
        below = (
            ""
            if future is on_top or on_top is None
            else (f", which runs below {on_top.label} on the same thread")
        )
        return [(f"{future.label} (spawned at {future.place}){below}", runner)]
    crew = slot.waits_for_all
    if crew is None:
        return []
    found: list[tuple[str, Slot]] = []
    for one in list(crew.slots):
        job = one.job
        if job is None or one.abandoned or (slot.crew is crew and one.is_idling()):
            continue
        if one is not slot:
            found.append(
                (f"{crew.options.name}, where {job.label} (spawned at {job.place}) runs", one)
            )
    return found


def _deadlock(job: JobSink, chain: list[str]) -> PoolDeadlockError:
    lines = [f"{job.label} (spawned at {job.place})", *(f"waits for {what}" for what in chain)]
    return PoolDeadlockError(
        "these jobs wait for each other and would wait for ever: "
        + ", ".join(lines)
        + "; let one of them return before the other is awaited"
    )


def reset_after_fork() -> None:
    """In a forked child: the parent may have held the lock."""
    _graph[0] = threading.Lock()
