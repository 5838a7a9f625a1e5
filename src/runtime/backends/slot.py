"""A slot of the thread backend: one thread that takes jobs off the queue, one after the other.

Hot path: `Slot.run`. Per job it holds the pool's lock once (take the job and claim it) and asks the
clock at most once more; the job itself settles under the same lock a second time.

Why no job is left lying while a slot sleeps: a slot that finds nothing (1) puts its gate on the
idle list, (2) looks at the queue again, (3) sleeps at its gate. Whoever submits (a) puts the
job in the queue, (b) takes a gate off the idle list and opens it. If (a) comes before (2) the
slot sees the job; otherwise (1) came before (b), so the submitter found this gate or that
of another slot that had nothing to do. A gate is opened once for each time it is taken off.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.running import running
from runtime.backends.base import this_thread
from runtime.backends.slot_state import SlotState
from runtime.backends.waiting import wait_in_job
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.outcome import OutcomeFuture
    from runtime.backends.base import JobSink
    from runtime.backends.crew import Crew
    from runtime.backends.interrupts import Interrupts

__all__ = ("Slot",)


class Slot:
    """One thread of one `Crew`."""

    __slots__ = (
        "abandoned",  # whether a job of its stack is; protected by the pool's lock
        "abandoned_at",  # since when; protected by the pool's lock
        "crew",
        "forked",  # set in a forked child: the process is the copy of this thread
        "ident",  # of its thread; 0 until that runs
        "idles",  # the job that waits here until its own pool is idle; read by others
        "interrupts",
        "job",  # what runs on top of its stack; protected by the pool's lock
        "lent",  # how many threads are lent while it waits; protected by the pool's lock
        "now",
        "sleep",
        "stack",  # the jobs below that, which wait for it; protected by the pool's lock
        "waits_for",  # what its job waits for, protected by the lock of `waiting`
        "waits_for_all",  # the crew whose end or idleness its job waits for; read by others
        "wake",
    )

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.job: JobSink | None = None
        self.stack: list[JobSink] = []
        self.abandoned = False
        self.abandoned_at = 0.0
        self.forked = False
        self.ident = 0
        self.interrupts: Interrupts | None = None
        self.lent = 0
        self.now: float | None = None
        self.waits_for: OutcomeFuture[Any] | None = None  # Any: of whatever type
        self.waits_for_all: Crew | None = None
        self.idles: JobSink | None = None
        gate = threading.Lock()
        gate.acquire()
        self.sleep = gate.acquire
        self.wake = gate.release

    # ---- hot path -------------------------------------------------------------------------

    def run(self) -> None:
        """Take jobs and run them until the crew lets this thread go."""
        if not self.crew.admit(self):
            return
        self.bind()
        try:
            if self.crew.prepare():
                self._run()
        except BaseException as error:  # noqa: BLE001 - reported: nobody else would see it
            logger(__name__).exception("a worker thread ends by an error that is no job's")
            for job in self.jobs():
                job.crash(error)
        finally:
            self.crew.leave(self)

    def _run(self) -> None:  # noqa: C901 - the hot path, written out
        crew = self.crew
        queue, idle, thread = crew.queue, crew.idle, threading.current_thread()
        acquire, release, take = crew.lock.acquire, crew.lock.release, crew.queue.take
        sleep, wake, name = self.sleep, self.wake, thread.name
        job = None
        while True:
            # Taken by hand, not by ``with``: this thread gets no signals, and async
            # exceptions reach it only inside of a job (see interrupts).
            acquire()
            try:
                if crew.alive > crew.allowed:
                    crew.strike(self)
                    return
                self.job = taken = take(self)
                if taken is None:
                    self.now = None
                    if crew.closing:
                        crew.strike(self)
                        return
                    idle.append(wake)
            finally:
                release()
            job = taken  # lets go of the last job, outside of the lock: user code may run then
            if job is not None:
                job.execute()
                taken = None
                if self.abandoned or self.forked:
                    crew.came_back(self)
                if thread.name != name:  # what a job calls its thread ends with the job
                    thread.name = name
            elif not queue or not self._get_up():
                if crew.watchers:
                    crew.watchers.tell()
                sleep()

    def _get_up(self) -> bool:
        """A job came while this slot lay down: take the gate back. False: it is being opened."""
        try:
            self.crew.idle.remove(self.wake)
        except ValueError:
            return False
        return True

    # ---- what the job and the pool ask of a slot ------------------------------------------

    def wait(
        self,
        future: OutcomeFuture[Any] | None,  # Any: see waits_for
        limit: float | None,
        block: Callable[[], bool],
        needed: OutcomeFuture[Any] | None = None,  # Any: as above
    ) -> bool:
        """See `running.Blocker`: the job of this slot is about to wait."""
        return wait_in_job(self, future, limit, block, needed)

    def interrupt(self, job: JobSink) -> bool:
        """See `SlotView`."""
        interrupts = self.interrupts
        return interrupts is not None and interrupts.send(job)

    def confirm(self, job: JobSink) -> None:
        """See `SlotView`: a thread claims what it takes."""

    def progress(self, job: JobSink, value: object) -> None:
        """See `SlotView`: who asks is in this process."""

    def jobs(self) -> list[JobSink]:
        """Return what runs here, the one on top last. Needs the pool's lock."""
        job = self.job
        return self.stack if job is None else [*self.stack, job]

    def is_idling(self) -> bool:
        """Tell whether what runs here waits until its own pool is idle."""
        job = self.idles
        return job is not None and job is self.job

    @property
    def state(self) -> SlotState:
        """Where this slot is: nowhere stored, it is what the fields say. Needs the pool's lock."""
        if self not in self.crew.slots:
            return SlotState.RETIRED
        if self.job is None:
            return SlotState.IDLE
        return SlotState.ABANDONED if self.abandoned else SlotState.BUSY

    def bind(self) -> None:
        """On its thread, before anything else."""
        this_thread.slot = self
        running.blocker = self

    def unbind(self) -> None:
        """On its thread, at the end: the next user of the thread finds it clean."""
        this_thread.slot = None
        running.blocker = None
        running.executor = None
