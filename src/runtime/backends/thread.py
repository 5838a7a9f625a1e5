"""Jobs on threads: a queue, the slots that take from it, and how many of them there may be.

How many threads: ``max_workers``, plus one for each slot whose job waits inside of the pool
(lent), plus one for each slot whose job was abandoned, both up to a cap. A thread that finds more
of them alive than allowed leaves instead of taking a job.
Locks: ``_lock`` is the pool's (re-entrant: a signal handler or a finalizer may submit or cancel
while this thread is inside). Threads are started, joined and told outside of it.
Source: worker-api-spec.md, sections 4 to 7; ADR-006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.backends.base import (
    BackendCounts,
    Capabilities,
    JobSink,
    PoolLock,
    end_forked_child,
    this_thread,
)
from runtime.backends.slot import Slot
from runtime.backends.thread_source import thread_source
from runtime.backends.watching import Watchers
from runtime.errors import BrokenPoolError, PoolShutdownError, WorkerStartError
from runtime.logs import logger
from runtime.scheduling.job_queue import JobQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.clock import Clock

__all__ = ("ThreadBackend",)

CAPABILITIES: Final = Capabilities(name="thread", can_interrupt=True)


class ThreadBackend:
    """See `Backend`; one pool's threads.

    Args:
        lock: The pool's lock, an RLock.
        clock: For the ages of abandoned jobs.
        max_workers: How many jobs may run at once.
        max_lent: How many more threads may exist for jobs that wait inside of the pool.
        max_abandoned: How many more threads may replace those that do not come back.
        initializer: Called on each thread before its first job; if it raises, the pool breaks.
        name: The pool's name, for messages.
    """

    capabilities: Final = CAPABILITIES

    def __init__(
        self,
        lock: PoolLock,
        clock: Clock,
        max_workers: int,
        *,
        max_lent: int,
        max_abandoned: int,
        initializer: Callable[[], object] | None = None,
        name: str = "pool",
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._name = name
        self._max_workers = max_workers
        self._max_lent = max_lent
        self._max_abandoned = max_abandoned
        self._initializer = initializer
        self._queue: JobQueue[JobSink] = JobQueue()
        self._push = self._queue.push
        # All of these are protected by _lock; the idle list is also popped without it.
        self._slots: set[Slot] = set()
        self._slots_alive = 0  # threads that exist or are being started
        self._allowed = max_workers
        self._lent = 0
        self._abandoned_slots = 0
        self._closing = False
        self._broken: BaseException | None = None
        self._idle: list[Slot] = []  # the last one in is the first one out: its caches are warm
        self._watchers = Watchers(lock)  # who waits for idleness or for the end
        self._told_cap = False

    # ---- taking jobs ----------------------------------------------------------------------

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`."""
        self._push(job)
        if self._idle:
            try:
                slot = self._idle.pop()
            except IndexError:  # somebody else woke it
                pass
            else:
                slot.gate.release()
                return
        if self._slots_alive < self._allowed:
            self._grow(job)
        if self._closing or self._broken is not None:
            self._refuse_late(job)

    def _refuse_late(self, job: JobSink) -> None:
        """*job* came while the backend was closing: it runs, or its spawner is told."""
        error: BaseException
        if self._broken is not None:
            error = self._broken_error()
        else:
            error = PoolShutdownError(
                f"{self._name} is shut down and takes no more jobs: make a new WorkerPool"
            )
        if job.refuse(error):
            raise error

    def _grow(self, job: JobSink | None) -> None:
        """Start a thread if one more is allowed; *job* is refused where there is none at all."""
        with self._lock:
            if self._slots_alive >= self._allowed or (self._closing and not self._queue):
                return
            slot = Slot(self)
            self._slots.add(slot)
            self._slots_alive += 1
        try:
            thread_source().start(slot.run)
        except WorkerStartError as error:
            with self._lock:
                self._slots.discard(slot)
                self._slots_alive -= 1
                alone = self._slots_alive == 0
            if alone and job is not None and job.refuse(error):
                raise
            logger(__name__).warning(
                "%s goes on with %d thread(s): %s", self._name, self._slots_alive, error
            )

    def _enter(self, slot: Slot) -> bool:
        """On a new thread: prepare it; False where the pool broke."""
        slot.bind()
        if self._initializer is None:
            return True
        try:
            self._initializer()
        except BaseException as error:  # noqa: BLE001 - told to everybody who has a job here
            self._break(error)
            self._leave(slot)
            return False
        return True

    def _break(self, error: BaseException) -> None:
        with self._lock:
            if self._broken is None:
                self._broken = error
            jobs = self._queue.drain()
            sleepers = self._close_locked()
        for job in jobs:
            job.refuse(self._broken_error())
        self._open_gates(sleepers)

    def _broken_error(self) -> BrokenPoolError:
        error = BrokenPoolError(
            f"{self._name} is broken: its initializer raised {self._broken!r}; "
            "mend the initializer and make a new WorkerPool"
        )
        error.__cause__ = self._broken
        return error

    # ---- between two jobs -----------------------------------------------------------------

    def _unpark(self, slot: Slot) -> bool:
        """Take *slot* off the idle list again. Needs _lock. False: its gate is being opened."""
        try:
            self._idle.remove(slot)
        except ValueError:
            return False
        return True

    def _came_back(self, slot: Slot) -> None:
        """An abandoned function has returned, or this is a copy of the thread in a forked child."""
        if slot.forked:
            end_forked_child(None)
        with self._lock:
            slot.job = None
            self._recount(slot)

    def _unstack(self, slot: Slot) -> None:
        """A job that ran in place has returned to the one that waits for it."""
        with self._lock:
            slot.job = slot.stack.pop()
            self._recount(slot)

    def _recount(self, slot: Slot) -> None:
        """Note whether an abandoned function still runs on *slot*. Needs _lock."""
        abandoned = any(job.is_abandoned() for job in self._jobs_of(slot))
        if abandoned is not slot.abandoned:
            slot.abandoned = abandoned
            slot.abandoned_at = self._clock.now()
            self._abandoned_slots += 1 if abandoned else -1
            self._count_allowed()

    def _leave(self, slot: Slot) -> None:
        """On its thread, at the end."""
        slot.unbind()
        with self._lock:
            slot.job = None
            if slot not in self._slots:
                return
            self._slots.discard(slot)
            self._slots_alive -= 1
            self._recount(slot)
            more = bool(self._queue) and self._slots_alive < self._allowed
        if more:  # a job came while the last thread was leaving
            self._grow(None)
        self._watchers.tell()

    def _count_allowed(self) -> None:
        """Needs _lock."""
        self._allowed = (
            self._max_workers
            + min(self._lent, self._max_lent)
            + min(self._abandoned_slots, self._max_abandoned)
        )

    # ---- jobs that are over before their function is --------------------------------------

    def note_over(self, job: JobSink, *, was_running: bool) -> None:
        """See `Backend.note_over`."""
        slot: Slot | None = None
        with self._lock:
            if not was_running:
                self._queue.note_over()
            else:
                slot = self._slot_of(job)
                if slot is not None:
                    self._recount(slot)
            grow = slot is not None and bool(self._queue) and not self._idle
            capped = slot is not None and self._abandoned_slots > self._max_abandoned
            tell = capped and not self._told_cap
            self._told_cap = capped
        if slot is not None and job.wants_interrupt:
            slot.interrupt(job)
        if grow and not capped:
            self._grow(None)
        if tell:
            logger(__name__).warning(
                "%s: %d abandoned job(s) do not return and no more threads replace them "
                "(max_abandoned=%d): new jobs wait for a free thread",
                self._name,
                self._abandoned_slots,
                self._max_abandoned,
            )
        if self._watchers:
            self._watchers.tell()

    def _slot_of(self, job: JobSink) -> Slot | None:
        """Return where *job* runs. Needs _lock."""
        for slot in self._slots:
            if slot.job is job or job in slot.stack:
                return slot
        return None

    # ---- jobs that wait inside of the pool ------------------------------------------------

    def _run_in_place(self, slot: Slot, job: JobSink) -> bool:
        """Run *job* on *slot* if it waits in this queue; False where it does not."""
        with self._lock:
            if job.is_over() or not self._queue.remove(job):
                return False
            if not self._stack_up(slot, job):
                return False
        slot.run_in_place(job)
        return True

    def _run_any_in_place(self, slot: Slot) -> bool:
        """Run the next queued job on *slot*; False where none waits."""
        with self._lock:
            job = self._queue.pop()
            if job is None or not self._stack_up(slot, job):
                return False
        slot.run_in_place(job)
        return True

    def _stack_up(self, slot: Slot, job: JobSink) -> bool:
        """Claim *job* for *slot*, on top of what runs there. Needs _lock."""
        if slot.job is None or not job.claim(slot):
            return False
        slot.stack.append(slot.job)
        slot.job = job
        return True

    def _lend(self, slot: Slot) -> bool:
        """The job of *slot* waits: allow one more thread; False at the cap."""
        with self._lock:
            if slot.job is None or self._lent >= self._max_lent:
                return False
            self._lent += 1
            self._count_allowed()
            grow = bool(self._queue) and not self._idle
        if grow:
            self._grow(None)
        return True

    def _unlend(self, *, lent: bool) -> None:
        if lent:
            with self._lock:
                self._lent -= 1
                self._count_allowed()

    # ---- looking --------------------------------------------------------------------------

    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        with self._lock:
            found = [job for slot in self._slots for job in self._jobs_of(slot)]
            return [job for job in found if not job.is_over()] + self._queue.snapshot()

    @staticmethod
    def _jobs_of(slot: Slot) -> list[JobSink]:
        return slot.stack if slot.job is None else [*slot.stack, slot.job]

    def drain(self) -> list[JobSink]:
        """See `Backend.drain`."""
        with self._lock:
            return self._queue.drain()

    def counts(self) -> BackendCounts:
        """See `Backend.counts`."""
        with self._lock:
            now = self._clock.now()
            running, abandoned = 0, []
            for slot in self._slots:
                for job in self._jobs_of(slot):
                    if job.is_abandoned():
                        abandoned.append((job.label, now - slot.abandoned_at))
                    elif not job.is_over():
                        running += 1
            return BackendCounts(
                workers=self._slots_alive,
                idle=len(self._idle),
                queued=len(self._queue),
                running=running,
                abandoned=tuple(abandoned),
                lent=min(self._lent, self._max_lent),
                at_abandoned_cap=self._abandoned_slots > self._max_abandoned,
            )

    # ---- waiting for the end --------------------------------------------------------------

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`."""
        return self._watchers.wait(self._is_idle, timeout)

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            sleepers = self._close_locked()
        self._open_gates(sleepers)

    def _close_locked(self) -> list[Slot]:
        """Needs _lock."""
        self._closing = True
        sleepers: list[Slot] = []
        while True:
            try:
                sleepers.append(self._idle.pop())
            except IndexError:
                return sleepers

    @staticmethod
    def _open_gates(slots: list[Slot]) -> None:
        for slot in slots:
            slot.gate.release()

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`. From a thread of this backend it does not wait: True at once."""
        here = this_thread.slot
        if isinstance(here, Slot) and here.backend is self:
            return True
        return self._watchers.wait(self._has_ended, timeout)

    def _is_idle(self) -> bool:
        """Needs _lock."""
        if self._queue.snapshot():
            return False
        return all(job.is_over() for slot in self._slots for job in self._jobs_of(slot))

    def _has_ended(self) -> bool:
        """Needs _lock: nothing is left but functions that do not return."""
        return self._closing and all(slot.abandoned for slot in self._slots)

    # ---- fork -----------------------------------------------------------------------------

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`. Runs alone: the child has one thread."""
        lost = [job for slot in self._slots for job in self._jobs_of(slot)]
        lost += self._queue.drain()
        for slot in self._slots:
            slot.forked = True
        self.__init__(  # type: ignore[misc]  # as new
            lock,
            self._clock,
            self._max_workers,
            max_lent=self._max_lent,
            max_abandoned=self._max_abandoned,
            initializer=self._initializer,
            name=self._name,
        )
        return lost
