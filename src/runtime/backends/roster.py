"""Which slots a pool has, and how many it may have: the numbers of a `Crew`.

Owns: the slots that are alive, how many of them wait (lent) or are abandoned, what is allowed.
Threads: none of its own, and it starts none: `crew` does.
Locks: ``lock`` is the pool's; see `crew`.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

import operator
import weakref
from typing import TYPE_CHECKING, NamedTuple

from runtime.backends.watching import Watchers
from runtime.locking import locked, taking

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from runtime.backends.base import JobSink, PoolLock
    from runtime.backends.slot import Slot
    from runtime.clock import Clock
    from runtime.scheduling.job_queue import JobQueue

__all__ = ("CrewOptions", "Roster")


class CrewOptions(NamedTuple):
    """What is known of a crew from the start; see `ThreadBackend`."""

    max_workers: int
    max_lent: int
    max_abandoned: int
    initializer: Callable[[], object] | None
    name: str


class Roster:
    """Counts slots. Thread-safe, where not said otherwise; see `Crew`."""

    def __init__(
        self, lock: PoolLock, clock: Clock, queue: JobQueue[JobSink], options: CrewOptions
    ) -> None:
        self.lock = lock
        self.taking = taking(lock)
        self.clock = clock
        self.queue = queue
        self.options = options
        self.watchers = Watchers(lock)  # who waits for idleness or for the end
        # All of these are protected by lock; the idle list is also popped without it.
        self.slots: set[Slot] = set()  # those alive: they have a thread, or it is being started
        self.threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # of all slots so far
        self.alive = 0  # how many these are; read without the lock as a hint
        self.allowed = options.max_workers
        self.lent = 0
        self.abandoned = 0  # slots
        self.closing = False
        self.broken: BaseException | None = None
        self._told_cap = False
        self._told_start = False
        # What opens the gates of the slots that sleep; the last one in is the first one out,
        # its caches are warm.
        self.idle: list[Callable[[], None]] = []
        # Take a gate off the list and open it; IndexError: there is none. One call from
        # Python into C, so no signal comes between the two: that slot would sleep for ever.
        self.wake_one = map(operator.call, iter(self.idle.pop, None)).__next__

    def strike(self, slot: Slot) -> None:
        """*slot* is about to leave, and takes no more jobs. Needs lock."""
        slot.job = None
        self._strike(slot)

    def _strike(self, slot: Slot) -> None:
        self.slots.discard(slot)
        self.alive -= 1
        self.recount(slot)

    def recount(self, slot: Slot) -> None:
        """Note whether an abandoned function still runs on *slot*. Needs lock."""
        abandoned = any(job.is_abandoned() for job in slot.jobs())
        if abandoned is not slot.abandoned:
            slot.abandoned = abandoned
            slot.abandoned_at = self.clock.now()
            self.abandoned += 1 if abandoned else -1
            if self.abandoned <= self.options.max_abandoned:
                self._told_cap = False
            self._count_allowed()

    def _count_allowed(self) -> None:
        """Needs lock. A slot that waits and is abandoned, too, takes one place, not two."""
        options, abandoned = self.options, self.abandoned
        if abandoned and self.lent:
            abandoned -= sum(slot.abandoned and slot.lent > 0 for slot in self.slots)
        self.allowed = options.max_workers + self.lent + min(abandoned, options.max_abandoned)

    @locked
    def _note_over(self, job: JobSink) -> tuple[Slot | None, bool]:
        """Return where *job* runs, and whether to tell that the cap is reached."""
        slot = next((slot for slot in self.slots if job in slot.jobs()), None)
        if slot is None:
            return None, False
        self.recount(slot)
        tell = self.is_over_cap() and not self._told_cap
        self._told_cap = self._told_cap or tell
        return slot, tell

    def is_over_cap(self) -> bool:
        """Tell whether a slot is abandoned that no thread replaces. Needs lock."""
        return self.abandoned > self.options.max_abandoned

    @locked
    def _clear(self, slot: Slot) -> None:
        slot.job = None
        self.recount(slot)

    @locked
    def _change_lent(self, slot: Slot, by: int) -> bool:
        if by > 0 and self.lent >= self.options.max_lent:
            return False
        self.lent += by
        slot.lent += by
        self._count_allowed()
        return True
