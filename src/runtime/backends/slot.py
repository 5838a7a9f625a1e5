"""A slot of the thread backend: one thread that takes jobs off the queue, one after the other.

Hot path: `Slot.run`. Per job it holds the pool's lock once (take the job and claim it) and asks the
clock at most once more; the job itself settles under the same lock a second time.

Why no job is left lying while a slot sleeps: a slot that finds nothing (1) puts itself on the
idle list, (2) looks at the queue again, (3) sleeps on its gate. Whoever submits (a) puts the
job in the queue, (b) takes a slot off the idle list, (c) opens its gate. If (a) comes before (2) the
slot sees the job; otherwise (1) came before (b), so the submitter found this slot or another
one that had nothing to do. A gate is opened once for each time its slot is taken off.
Source: worker-api-spec.md, section 4; ADR-006.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.running import running
from runtime.backends.base import this_thread
from runtime.backends.interrupts import Interrupts
from runtime.backends.waiting import wait_in_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime.outcome import OutcomeFuture
    from runtime.backends.base import JobSink
    from runtime.backends.thread import ThreadBackend

__all__ = ("Slot",)


class Slot:
    """One thread of one `ThreadBackend`."""

    __slots__ = (
        "abandoned",  # whether a job of its stack is over; protected by the pool's lock
        "abandoned_at",  # when the first of them was; protected by the pool's lock
        "backend",
        "forked",  # set in a forked child: the process is the copy of this thread
        "gate",
        "ident",
        "interrupts",
        "job",  # what runs on top of its stack; protected by the pool's lock
        "now",
        "stack",  # the jobs below that, which wait for it; protected by the pool's lock
        "thread",
        "waits_for",  # what its job waits for, protected by the lock of `waiting`
    )

    def __init__(self, backend: ThreadBackend) -> None:
        self.backend = backend
        self.job: JobSink | None = None
        self.stack: list[JobSink] = []
        self.abandoned = False
        self.abandoned_at = 0.0
        self.forked = False
        self.gate = threading.Lock()
        self.gate.acquire()
        self.ident = 0
        self.thread: threading.Thread | None = None
        self.interrupts: Interrupts | None = None
        self.now: float | None = None
        self.waits_for: OutcomeFuture[Any] | None = None  # Any: of whatever type

    # ---- hot path -------------------------------------------------------------------------

    def run(self) -> None:
        """Take jobs and run them until the backend lets this thread go."""
        backend = self.backend
        if not backend._enter(self):
            return
        lock, queue, idle = backend._lock, backend._queue, backend._idle
        acquire, release, sleep = lock.acquire, lock.release, self.gate.acquire
        try:
            while True:
                # Taken by hand, not by ``with``: this thread gets no signals, and async
                # exceptions reach it only inside of a job (see interrupts).
                acquire()
                try:
                    self.job = None  # and with it everything that the last job held
                    if backend._slots_alive > backend._allowed:
                        return
                    job = queue.pop()
                    while job is not None and not job.claim(self):
                        job = queue.pop()
                    if job is None:
                        if backend._closing:
                            return
                        self.now = None
                        idle.append(self)
                        if queue and backend._unpark(self):
                            continue
                    else:
                        self.job = job
                finally:
                    release()
                if job is None:
                    if backend._watchers:
                        backend._watchers.tell()
                    sleep()
                    continue
                job.execute()
                job = None  # keep nothing while the next one is waited for
                if self.abandoned or self.forked:
                    backend._came_back(self)
        finally:
            backend._leave(self)

    # ---- what the job and the pool ask of a slot ------------------------------------------

    def run_in_place(self, job: JobSink) -> None:
        """Run *job*, claimed for this slot, on top of the one that waits for it."""
        backend = self.backend
        waits_for, self.waits_for = self.waits_for, None
        # An executor that waits below must not seem to drive what runs here.
        executor, running.executor = running.executor, None
        try:
            job.execute()
        finally:
            running.executor = executor
            self.waits_for = waits_for
            backend._unstack(self)

    def wait(
        self,
        future: OutcomeFuture[Any] | None,  # Any: see waits_for
        limit: float | None,
        block: Callable[[], bool],
    ) -> bool:
        """See `running.Blocker`: the job of this slot is about to wait."""
        return wait_in_job(self, future, limit, block)

    def interrupt(self, job: JobSink) -> bool:
        """See `SlotView`."""
        interrupts = self.interrupts
        return interrupts is not None and interrupts.send(job)

    def bind(self) -> None:
        """On its thread, before anything else."""
        self.thread = threading.current_thread()
        self.ident = threading.get_ident()
        this_thread.slot = self
        running.blocker = self

    def unbind(self) -> None:
        """On its thread, at the end: the next user of the thread finds it clean."""
        this_thread.slot = None
        running.blocker = None
        running.executor = None
