"""Jobs in the caller: ``spawn`` runs the job and returns when it has ended.

The bypass for debugging, for tests, and for platforms without threads: the same handles, outcomes,
errors and statistics. A time limit is still answered on time by the deadline watcher, to
whoever else waits; the caller itself gets its thread back when the function returns.
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
        self._lock = lock
        self._clock = clock
        self._name = name
        self._initializer = initializer
        self._slots: set[_CallerSlot] = set()  # protected by _lock, like all below
        self._closing = False
        self._broken: BaseException | None = None
        self._watchers = Watchers(lock)

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`: *job* has ended when this returns."""
        self._prepare()
        slot = _CallerSlot(job, self._clock.now())
        with self._lock:
            refused = self._closing
            claimed = not refused and job.claim(slot)
            if claimed:
                self._slots.add(slot)
        if refused:
            self._refuse(job)
        if not claimed:
            return
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
            with self._lock:
                self._slots.discard(slot)
            self._watchers.tell()

    def _prepare(self) -> None:
        """Run the initializer before the first job."""
        with self._lock:
            initializer, self._initializer = self._initializer, None
        if initializer is None:
            return
        try:
            initializer()
        except BaseException as error:  # noqa: BLE001 - told to everybody who spawns here
            self._broken = error
            self._closing = True

    def _refuse(self, job: JobSink) -> None:
        error: BaseException
        if self._broken is not None:
            error = BrokenPoolError(
                f"{self._name} is broken: its initializer raised {self._broken!r}; "
                "mend the initializer and make a new WorkerPool"
            )
            error.__cause__ = self._broken
        else:
            error = PoolShutdownError(
                f"{self._name} is shut down and takes no more jobs: make a new WorkerPool"
            )
        if job.refuse(error):
            raise error

    def note_over(self, job: JobSink, *, was_running: bool) -> None:
        """See `Backend.note_over`: the function runs on; who waits for idleness may go."""
        self._watchers.tell()

    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        with self._lock:
            found = [slot.job for slot in self._slots]
        return [job for job in found if job is not None and not job.is_over()]

    def drain(self) -> list[JobSink]:
        """See `Backend.drain`: nothing ever waits here."""
        return []

    def counts(self) -> BackendCounts:
        """See `Backend.counts`."""
        with self._lock:
            now = self._clock.now()
            jobs = [(slot.job, slot.started) for slot in self._slots if slot.job is not None]
            abandoned = tuple((job.label, now - at) for job, at in jobs if job.is_abandoned())
            return BackendCounts(
                workers=len(jobs),
                idle=0,
                queued=0,
                running=sum(not job.is_over() for job, _ in jobs),
                abandoned=abandoned,
                lent=0,
                at_abandoned_cap=False,
            )

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`."""
        return self._watch(timeout)

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._closing = True

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`: waits for jobs that other threads are running."""
        return True if this_thread.slot is not None else self._watch(timeout)

    def _watch(self, timeout: float | None) -> bool:
        return self._watchers.wait(lambda: not self.jobs(), timeout)

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`: what this thread runs goes on, as in any caller."""
        here = threading.get_ident()
        self._lock = lock
        lost = [slot.job for slot in self._slots if slot.ident != here and slot.job is not None]
        self._slots = {slot for slot in self._slots if slot.ident == here}
        self._watchers = Watchers(lock)
        return lost
