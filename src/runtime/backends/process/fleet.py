"""The children of one pool: how many there may be, and which of them gets a job.

Owns: the children that are alive, the queue, and the rules of giving, sending ahead and taking
back. Threads: none of its own; `collector` reads from the children, anybody gives.
Locks: ``lock`` is the pool's (re-entrant). Here is what is decided under it; the caller writes
to sockets, settles jobs and starts processes after it.
Rules: a child without a job gets one first, the one that was busy last before the others. A
busy one gets jobs ahead only while what it has is estimated to take a millisecond or two. Whenever
a child has nothing to do and another one has jobs that it has not begun, those are taken
back: at once where they are worth it, after a moment otherwise. So no job waits behind
a long one while a child is idle.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.backends.process.child_state import ChildEvent, ChildState
from runtime.backends.watching import Watchers
from runtime.clock import SYSTEM_CLOCK
from runtime.locking import taking
from runtime.scheduling.job_queue import JobQueue

if TYPE_CHECKING:
    from runtime.async_runtime.timers import Timer
    from runtime.backends.base import JobSink, PoolLock
    from runtime.backends.process.child import Child
    from runtime.backends.process_options import ProcessSettings
    from runtime.clock import Clock

__all__ = ("Fleet",)

AHEAD: Final = 1.5e-3  # seconds of estimated work that a busy child may have in front of it
MOST_AHEAD: Final = 256  # jobs, however short
_TIDED_OVER: Final = 2  # jobs that a busy child needs so as not to wait for the next ones
_WORTH: Final = 3e-4  # seconds of work behind a job that are taken back at once
SOON: Final = 1e-3  # seconds after which it is looked at again where it was not worth it

_IDLE, _BUSY = ChildState.IDLE, ChildState.BUSY
_GIVE = ChildEvent.GIVE


class Fleet:
    """See the module. Every method needs the pool's lock, where not said otherwise.

    Args:
        lock: The pool's lock, an RLock.
        clock: For ages and times.
        settings: The pool's options.
    """

    def __init__(self, lock: PoolLock, clock: Clock, settings: ProcessSettings) -> None:
        self.lock = lock
        self.taking = taking(lock)
        self.clock = clock
        self.settings = settings
        self.queue: JobQueue[JobSink] = JobQueue()
        self.watchers = Watchers(lock)
        # All of these are protected by lock; is_full and closing are read without it as hints.
        self.children: dict[int, Child] = {}  # those that are not dead, by number
        self.idle: list[Child] = []  # the one that was busy last comes last
        self.settling: set[JobSink] = set()  # answered by a child, and not settled yet
        self.wanted = 0  # children that are to be started and have not been
        self.is_full = False  # nobody can take a job now, and nobody more is to be started
        self.closing = False
        self.broken: BaseException | None = None
        self.is_used = False  # whether a child was ever asked for
        self.is_closed = False  # whether what started them has ended
        self.warming = 0  # callers who wait until all children are ready
        self.start_error: BaseException | None = None  # why the last one could not be started
        self.leaving = 0  # children that were let go and still live
        self.recycled = 0  # children that were replaced because of age or memory
        self.idle_timer: Timer | None = None
        self._offer: tuple[Child, JobSink] | None = None  # who is just being given what
        self._is_giving = False  # on the thread that has the lock
        self._must_go_on = False  # something came while it was
        # Jobs that have begun once, and are to be run again: their child died, or skipped them.
        self.again: deque[JobSink] = deque()
        # Jobs that have just been claimed, and whose time is to be watched outside of the lock.
        self.begun: deque[JobSink] = deque()
        # Children that are busy with nothing, all they had being taken back: they owe a word.
        self.silent: deque[Child] = deque()

    # ---- giving ---------------------------------------------------------------------------

    def give_out(self, asking: Child | None = None) -> list[Child]:
        """Give what waits to those who can take it; return to whom something is to be sent.

        Args:
            asking: The only busy child that is thought of: it has just come to have room.

        Invariant: a child gets its jobs in the order of their numbers. So who comes here out of
        a signal handler or a finalizer, in the middle of this on the same thread, gives nothing:
        whoever is at it goes on with what they brought.
        """
        if self._is_giving:
            self._must_go_on = True
            return []
        self._is_giving = True
        try:
            touched = self._give(asking)
            while self._must_go_on:
                self._must_go_on = False
                touched += self._give(None)
        except BaseException:
            self._set_right()
            raise
        finally:
            self._is_giving = False
        return touched

    def _give(self, asking: Child | None) -> list[Child]:
        queue, idle, touched = self.queue, self.idle, []
        # False before the queue is looked at: who pushes after that look sees it, and comes here.
        self.is_full = False
        while idle and (queue or self.again):
            child = idle.pop()
            job = self._take_again() or queue.take(child)
            if job is None:
                idle.append(child)
                break
            self._offer = child, job
            child.advance(_GIVE)
            child.since = self.clock.now()
            child.give(job, self._deadline(job))
            self._offer = None
            if job.run_timeout is not None or job.is_over():
                self.begun.append(job)
            touched.append(child)
        if queue or self.again:
            touched += self._send_ahead(asking)
        if len(self.children) + self.wanted < self.settings.max_workers:
            self._want_more()
        if queue or self.again:
            # Until one of them answers or dies nothing changes, and then this is called again.
            self.is_full = len(self.children) + self.wanted >= self.settings.max_workers
        if self.warming:
            self.want_all()
        return touched

    def _set_right(self) -> None:
        """An exception (Ctrl-C) came as a job was given: it goes to another child.

        What this one was told of is not known: it does what it has begun, and is replaced.
        """
        offer, self._offer = self._offer, None
        if offer is not None:
            self._withdraw(*offer)
        self._list_idle()

    def _withdraw(self, child: Child, job: JobSink) -> None:
        child.recycle = "a spawn was interrupted that was giving it a job"
        if child.state is _IDLE:
            child.advance(_GIVE)
        has_it = any(one is job for _, one in child.in_flight)
        self.take_back(child)
        if not has_it:
            self.put_back(job)
        if not child.in_flight:
            self.silent.append(child)

    def want_all(self) -> None:
        """Ask for as many children as there may be."""
        if not self.closing:
            self.wanted = max(0, self.settings.max_workers - len(self.children))
            self.is_used = True

    def _send_ahead(self, asking: Child | None) -> list[Child]:
        queue, touched = self.queue, []
        waiting = len(queue) + len(self.again)
        share = -(-waiting // max(len(self.children), 1))  # not all that is left to the first
        for child in self.children.values() if asking is None else (asking,):
            if child.state is not _BUSY or child.recycle is not None or not child.in_flight:
                continue
            room = self._room(child)
            if asking is None:  # somebody spawns one by one: the rest goes when it answers
                room = min(room, _TIDED_OVER - len(child.in_flight))
            elif room * 2 < child.depth:
                continue  # it asks again when half of it is done: fewer, larger writes
            if room <= 0:
                continue
            for _ in range(min(room, share)):
                job = self._take_again() or queue.pop()
                if job is None:
                    break
                self._offer = child, job
                child.give(job, self._deadline(job))
                self._offer = None
            touched.append(child)
        return touched

    def _take_again(self) -> JobSink | None:
        while self.again:
            job = self.again.popleft()
            if not job.is_over():
                return job
        return None

    def _deadline(self, job: JobSink) -> float | None:
        """Return the deadline of *job* on the clock of the children, which is the system's."""
        deadline = job.deadline
        if deadline is None or self.clock is SYSTEM_CLOCK:
            return deadline
        return SYSTEM_CLOCK.now() + deadline - self.clock.now()

    def _room(self, child: Child) -> int:
        room = child.depth - len(child.in_flight)
        most = self.settings.max_jobs_per_worker
        if most is not None:
            room = min(room, most - child.jobs_done - len(child.in_flight))
        return room

    def _want_more(self) -> None:
        """Ask for one more child for each job that waits, up to what is allowed.

        A job that waits behind another one, in a child, would be better off in one of its own.
        """
        allowed = self.settings.max_workers - len(self.children) - self.wanted
        coming = self.wanted + sum(
            child.state is ChildState.STARTING for child in self.children.values()
        )
        waiting = len(self.queue) + len(self.again)
        for child in self.children.values():
            waiting += max(0, len(child.in_flight) - 1)
        self.wanted += max(0, min(allowed, waiting - coming))
        self.is_used = self.is_used or self.wanted > 0

    def has_jobs_behind(self) -> bool:
        """Tell whether a child has jobs that it has not begun."""
        for child in self.children.values():  # noqa: SIM110 - a generator costs more than it does
            if len(child.in_flight) > 1:
                return True
        return False

    # ---- taking back ----------------------------------------------------------------------

    def balance(self, *, at_once: bool) -> bool:
        """Take back what idle children could do; True: it is to be looked at again soon.

        Args:
            at_once: Whether also what is hardly worth it is taken back.
        """
        again = False
        if not self.idle or self.queue:
            return again
        for child in self.children.values():
            behind = len(child.in_flight) - 1
            if behind <= 0:
                continue
            now = self.clock.now()
            cost = child.cost or 0.0
            if at_once or behind * cost > _WORTH or now - child.since > 2 * cost + SOON:
                self.take_back(child)
            else:
                again = True
        return again

    def take_back(self, child: Child) -> None:
        """Put what *child* has not begun in front of all that wait."""
        taken = child.take_back()
        for job in reversed(taken):
            self.put_back(job)
        if taken and not child.in_flight and child.state is _BUSY:
            self.silent.append(child)

    def put_back(self, job: JobSink) -> None:
        """Put *job*, which was given to a child and has not begun there, in front of all."""
        if job.is_pending():
            self.queue.put_back(job)
        else:  # it was taken to have begun: the queue would not give it out any more
            self.again.appendleft(job)

    def repair(self) -> None:
        """Whoever gave out was interrupted: a child that was to get a job has none, and is idle."""
        for child in self.children.values():
            if child.state is _BUSY and not child.in_flight:
                child.advance(ChildEvent.RUN_DRY)
        self._list_idle()

    def _list_idle(self) -> None:
        """One may have been taken off the list of those that are idle, and given nothing."""
        for child in self.children.values():
            if child.state is _IDLE and child not in self.idle:
                self.idle.append(child)

    def strike(self, child: Child) -> None:
        """*child* is dead: it has no place here any more."""
        if self.children.pop(child.number, None) is None:
            return
        if child.state is ChildState.LEAVING:
            self.leaving -= 1
        child.advance(ChildEvent.DIE)
        if child in self.idle:
            self.idle.remove(child)

    # ---- looking --------------------------------------------------------------------------

    def jobs(self) -> list[JobSink]:
        """Return what waits and what runs, oldest first."""
        found = [*self.settling, *self.again]
        for child in self.children.values():
            found += [job for _, job in child.in_flight]
        return [job for job in found if not job.is_over()] + self.queue.snapshot()

    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing runs, abandoned jobs apart."""
        return (
            self.queue.is_empty()
            and self._has_settled()
            and all(job.is_over() for job in self.again)
            and all(job.is_over() for child in self.children.values() for _, job in child.in_flight)
        )

    def has_ended(self) -> bool:
        """Tell whether the fleet is closed and no child is left.

        Where functions are only asked to stop, those that do not are not waited for.
        """
        if not self.closing or not self._has_settled():
            return False
        if self.settings.grace is None and self.children:
            return not self.queue and all(
                child.state is ChildState.ABANDONED for child in self.children.values()
            )
        return not self.children and (self.is_closed or not self.is_used)

    def _has_settled(self) -> bool:
        """Tell whether no answer is left that somebody waits for: to load one may take for ever."""
        return all(job.is_over() for job in self.settling.copy())  # others take out without a lock
