"""The threads of one pool: how many there may be, how they come, and how they go.

How many: ``max_workers``, plus one for each slot whose job waits inside of the pool
(lent), plus one for each slot whose job was abandoned, both up to a cap. A thread that finds more
of them alive than allowed leaves instead of taking a job; where jobs wait, it wakes another.
Invariant: while a job waits in the queue, fewer threads sleep than were told to wake, or as many
run as are allowed; where no thread can be had at all, the jobs are refused.
Locks: ``lock`` is the pool's (re-entrant: a signal handler or a finalizer may submit or cancel
while this thread is inside). Threads are started and woken outside of it.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runtime.backends.base import end_forked_child
from runtime.backends.headroom import check_headroom
from runtime.backends.roster import Roster
from runtime.backends.slot import Slot
from runtime.backends.thread_source import thread_source
from runtime.errors import BrokenPoolError, WorkerStartError
from runtime.locking import locked
from runtime.logs import logger

if TYPE_CHECKING:
    from runtime.backends.base import JobSink

__all__ = ("Crew",)


class Crew(Roster):
    """Starts, wakes, counts and lets go the slots that serve one queue. Thread-safe.

    Args:
        lock: The pool's lock, an RLock.
        clock: For the ages of abandoned jobs.
        queue: What the slots take jobs from.
        options: How many threads, and what they do first.
    """

    # ---- coming ---------------------------------------------------------------------------

    def serve(self) -> None:
        """See that what waits in the queue is looked at, by a thread that sleeps or a new one."""
        if not self.queue:
            return
        try:
            self.wake_one()
        except IndexError:
            if self.alive < self.allowed:
                self.grow(None)

    def grow(self, job: JobSink | None) -> None:
        """Start a thread if one more is allowed.

        Raises:
            WorkerStartError: it could not be started, there is no other one, and *job* was refused.
        """
        source = thread_source()
        if source.defer(self.serve):
            return
        check_headroom()
        slot = Slot(self)
        try:
            if self._reserve(slot):
                source.start(slot.run, self)
        except BaseException as error:
            undone, stranded = self._not_started(slot)
            if not isinstance(error, WorkerStartError):  # a KeyboardInterrupt or its kind
                if undone:
                    self.serve()
                raise
            refused = self._refuse_all(stranded, error, job)
            self.watchers.tell()  # one slot less, perhaps the last one
            if refused:
                raise
        else:
            self._told_start = False

    @locked
    def _reserve(self, slot: Slot) -> bool:
        if self.alive >= self.allowed or (self.closing and not self.queue):
            return False
        self.slots.add(slot)
        self.alive += 1
        return True

    @locked
    def _not_started(self, slot: Slot) -> tuple[bool, list[JobSink]]:
        """Take back what was reserved, unless it runs; return also the jobs without any thread."""
        if slot not in self.slots or slot.ident:
            return False, []
        self._strike(slot)
        return True, self.queue.snapshot() if self.alive == 0 else []

    def _refuse_all(
        self, stranded: list[JobSink], error: WorkerStartError, job: JobSink | None
    ) -> bool:
        """No thread can be had: refuse *stranded*; True where *job* was among them."""
        refused = False
        for one in stranded:
            refused |= self.refuse(one, error) and one is job
        if not stranded and not self._told_start:
            self._told_start = True  # once, until it works again
            logger(__name__).warning(
                "%s goes on with %d thread(s): %s", self.options.name, self.alive, error
            )
        return refused

    def refuse(self, job: JobSink, error: BaseException) -> bool:
        """Refuse *job*, which is in the queue; False where it has started, or is over."""
        if not job.refuse(error):
            return False
        self.note_shell()
        self.watchers.tell()
        return True

    @locked
    def note_shell(self) -> None:
        """A job in the queue is over."""
        self.queue.note_over()

    @locked
    def admit(self, slot: Slot) -> bool:
        """On a new thread, first of all; False: its start was taken back."""
        if slot not in self.slots:
            return False
        slot.ident = threading.get_ident()  # from here on it is not taken back
        self.threads.add(threading.current_thread())
        return True

    def prepare(self) -> bool:
        """On a new thread, before its first job; False: the pool is broken."""
        if self.options.initializer is None:
            return True
        try:
            self.options.initializer()
        except BaseException as error:  # noqa: BLE001 - told to everybody who has a job here
            self._break(error)
            return False
        return True

    def _break(self, error: BaseException) -> None:
        is_first, stranded = self._close_broken(error)
        for job in stranded:
            self.refuse(job, self.broken_error())
        self.wake_all()
        if is_first:  # perhaps nobody has a job here, or looks at its future
            logger(__name__).error(
                "the initializer of %s raised, so the pool is broken",
                self.options.name,
                exc_info=error,
            )

    @locked
    def _close_broken(self, error: BaseException) -> tuple[bool, list[JobSink]]:
        is_first = self.broken is None
        if is_first:
            self.broken = error
        self.closing = True
        return is_first, self.queue.snapshot()

    def broken_error(self) -> BrokenPoolError:
        """Return a new error for who waits for a job of a pool that is broken."""
        error = BrokenPoolError(
            f"{self.options.name} is broken: its initializer raised {self.broken!r}; "
            "mend the initializer and make a new WorkerPool"
        )
        error.__cause__ = self.broken
        return error

    # ---- going ----------------------------------------------------------------------------

    def close(self) -> None:
        """Let all threads leave as soon as nothing waits."""
        self._set_closing()
        self.wake_all()

    @locked
    def _set_closing(self) -> None:
        self.closing = True

    def wake_all(self) -> None:
        """Let every thread that sleeps look again; those that are told to go do not sleep again."""
        while True:
            try:
                self.wake_one()
            except IndexError:
                break
        self.watchers.tell()

    def leave(self, slot: Slot) -> None:
        """On its thread, at the very end."""
        slot.unbind()
        self._strike_if_there(slot)
        # It may have been woken for a job that it did not take; or one came since it looked.
        self.serve()
        self.watchers.tell()

    def see_off(self, timeout: float | None) -> None:
        """Wait until the threads of slots that have left have ended."""
        thread_source().see_off(self, self._gone(), timeout)

    @locked
    def _gone(self) -> list[threading.Thread]:
        staying = {slot.ident for slot in self.slots}
        return [thread for thread in self.threads if thread.ident not in staying]

    @locked
    def _strike_if_there(self, slot: Slot) -> None:
        if slot in self.slots:
            self.strike(slot)

    # ---- slots that are busy with what does not count ------------------------------------

    def note_over(self, job: JobSink) -> None:
        """*job* is over, and its function still runs, on one of the slots perhaps."""
        slot, tell = self._note_over(job)
        if slot is None:
            return
        if job.wants_interrupt:
            slot.interrupt(job)
        self.serve()
        if tell:
            logger(__name__).warning(
                "%s: %d abandoned job(s) do not return and no more threads replace them "
                "(max_abandoned=%d): new jobs wait for a free thread",
                self.options.name,
                self.abandoned,
                self.options.max_abandoned,
            )

    def came_back(self, slot: Slot) -> None:
        """An abandoned function has returned, or this is a copy of the thread in a forked child."""
        if slot.forked:
            end_forked_child(None)
        self._clear(slot)

    def lend(self, slot: Slot) -> bool:
        """The job of *slot* waits: allow one more thread; False at the cap."""
        check_headroom()  # also for giving it back
        if not self._change_lent(slot, 1):
            return False
        try:
            self.serve()
        except BaseException:
            self._change_lent(slot, -1)
            raise
        return True

    def take_back(self, slot: Slot) -> None:
        """The job of *slot*, for which a thread was lent, does not wait any more."""
        self._change_lent(slot, -1)
