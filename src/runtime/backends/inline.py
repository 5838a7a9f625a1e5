"""Jobs in the caller: ``spawn`` runs the job and returns when it has ended.

The bypass for debugging, for tests, and for platforms without threads: the same handles, outcomes,
errors and statistics. A time limit is still answered on time by the deadline watcher, to
whoever else waits; the caller itself gets its thread back when the function returns.
Ctrl-C in a job on the main thread settles that job, and is raised out of ``spawn`` at once.
Source: worker-api-spec.md, section 8; ADR-006.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from runtime.async_runtime.running import running
from runtime.backends.base import (
    BackendCounts,
    Capabilities,
    JobSink,
    PoolLock,
    this_thread,
)
from runtime.backends.watching import Watchers
from runtime.errors import BrokenPoolError, PoolShutdownError
from runtime.locking import locked, taking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.clock import Clock

__all__ = ("InlineBackend",)

CAPABILITIES: Final = Capabilities(name="inline", runs_in_caller=True)


class _CallerSlot:
    """The caller's thread while it runs one job."""

    __slots__ = ("forked", "ident", "job", "now", "started")

    def __init__(self, job: JobSink, started: float) -> None:
        self.job: JobSink | None = job
        self.now: float | None = None
        self.forked = False  # never: a caller that forks goes on in both processes
        self.ident = threading.get_ident()
        self.started = started

    def interrupt(self, job: JobSink) -> bool:  # noqa: ARG002 - see Capabilities
        """Never: the caller's thread is not ours to interrupt."""
        return False

    def confirm(self, job: JobSink) -> None:
        """See `SlotView`: a job is claimed when it is given."""

    def progress(self, job: JobSink, value: object) -> None:
        """See `SlotView`: who asks is in this process."""


class InlineBackend:
    """See `Backend`. Jobs nest: a job may spawn, which runs at once.

    Args:
        lock: The pool's lock, an RLock.
        clock: For the ages of abandoned jobs.
        initializer: Called before the first job; if it raises, the pool is broken.
        name: The pool's name, for messages.
    """

    capabilities: Final = CAPABILITIES

    def __init__(
        self,
        lock: PoolLock,
        clock: Clock,
        *,
        initializer: Callable[[], object] | None = None,
        name: str = "pool",
    ) -> None:
        self.lock = lock
        self.taking = taking(lock)
        self._clock = clock
        self._name = name
        self._initializer = initializer
        self._prepared = initializer is None
        self._preparing = threading.RLock()  # held while the initializer runs; before lock
        self._slots: set[_CallerSlot] = set()  # protected by lock
        self._closing = False  # never unset
        self._broken: BaseException | None = None  # set before _closing
        self._watchers = Watchers(lock)

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`: *job* has ended when this returns.

        Raises:
            KeyboardInterrupt: Ctrl-C came while the job ran on the main thread; *job* has ended.
        """
        self._prepare()
        slot = _CallerSlot(job, self._clock.now())
        if self._begin(slot, job):
            self._run(slot, job)
        elif self._closing:
            self._refuse(job)

    @locked
    def _begin(self, slot: _CallerSlot, job: JobSink) -> bool:
        if self._closing or not job.claim(slot):
            return False
        self._slots.add(slot)
        return True

    def _run(self, slot: _CallerSlot, job: JobSink) -> None:
        outer, this_thread.slot = this_thread.slot, slot
        # The job is no part of the task or the job that spawned it.
        executor, running.executor = running.executor, None
        blocker, running.blocker = running.blocker, None
        try:
            job.execute()
        finally:
            this_thread.slot = outer
            running.executor = executor
            running.blocker = blocker
            self._end(slot)
            self._watchers.tell()

    @locked
    def _end(self, slot: _CallerSlot) -> None:
        self._slots.discard(slot)

    def _prepare(self) -> None:
        """Run the initializer before the first job."""
        if self._prepared:
            return
        with self._preparing:  # others wait until it is done
            initializer, self._initializer = self._initializer, None
            if initializer is None:  # somebody else did it, or it spawns here itself
                return
            try:
                initializer()
            except BaseException as error:  # noqa: BLE001 - told to everybody who spawns here
                self._broken = error
                self._closing = True
            self._prepared = True

    def _refuse(self, job: JobSink) -> None:
        error: BaseException
        if self._broken is not None:
            error = self._broken_error()
        else:
            error = PoolShutdownError(
                f"{self._name} is shut down and takes no more jobs: make a new WorkerPool"
            )
        if job.refuse(error):
            raise error

    def _broken_error(self) -> BrokenPoolError:
        error = BrokenPoolError(
            f"{self._name} is broken: its initializer raised {self._broken!r}; "
            "mend the initializer and make a new WorkerPool"
        )
        error.__cause__ = self._broken
        return error

    def note_over(self, job: JobSink, *, was_running: bool) -> None:  # noqa: ARG002 - not queued
        """See `Backend.note_over`: the function runs on; who waits for idleness may go."""
        self._watchers.tell()

    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        return [job for job in self._started() if not job.is_over()]

    @locked
    def _started(self, *, but_of_thread: int = 0) -> list[JobSink]:
        return [slot.job for slot in self._slots if slot.job and slot.ident != but_of_thread]

    def drain(self) -> list[JobSink]:
        """See `Backend.drain`: nothing ever waits here."""
        return []

    @locked
    def counts(self) -> BackendCounts:
        """See `Backend.counts`."""
        now = self._clock.now()
        jobs = [(slot.job, slot.started) for slot in self._slots if slot.job is not None]
        return BackendCounts(
            workers=len(jobs),
            idle=0,
            queued=0,
            running=sum(not job.is_over() for job, _ in jobs),
            abandoned=tuple((job.label, now - at) for job, at in jobs if job.is_abandoned()),
            lent=0,
            at_abandoned_cap=False,
        )

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`."""
        here = threading.get_ident()  # a job does not wait for itself, nor for those below it
        return self._watchers.wait(lambda: self._is_idle(here), timeout)

    def warm_up(self, timeout: float | None) -> bool:  # noqa: ARG002 - nothing takes long here
        """See `Backend.warm_up`: there are no workers, but there may be an initializer."""
        self._prepare()
        if self._broken is not None:
            raise self._broken_error()
        return True

    @locked
    def close(self) -> None:
        """See `Backend.close`."""
        self._closing = True

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`: waits for jobs that other threads are running."""
        if this_thread.slot in self._slots:  # a job of this backend cannot wait for itself
            return False
        return self.wait_idle(timeout)

    def _is_idle(self, here: int) -> bool:
        return all(job.is_abandoned() for job in self._started(but_of_thread=here))

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`: what this thread runs goes on, as in any caller."""
        here = threading.get_ident()
        self.lock = lock
        self.taking = taking(lock)
        self._preparing = threading.RLock()
        lost = [slot.job for slot in self._slots if slot.ident != here and slot.job is not None]
        self._slots = {slot for slot in self._slots if slot.ident == here}
        self._watchers = Watchers(lock)
        return lost
