"""A backend that does nothing by itself: the test says which job starts, ends or crashes, and when.

Owns: the jobs between those steps. What a job's outcome is, the pool decides as for any backend.
Threads: none of its own; a function runs on the thread that calls `ScriptedBackend.run`.
Locks: ``_lock`` is the pool's, from `ScriptedBackend.attach` on.
Source: worker-api-spec.md, section 8.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, final

from runtime.async_runtime.running import running
from runtime.backends.base import BackendCounts, Capabilities, this_thread
from runtime.backends.watching import Watchers
from runtime.clock import SYSTEM_CLOCK
from runtime.errors import InvalidStateError, WorkerRuntimeError
from runtime.scheduling.job_queue import JobQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.backends.base import JobSink, PoolLock
    from runtime.clock import Clock

__all__ = ("ScriptedBackend",)

CAPABILITIES: Final = Capabilities(name="scripted")


class _ScriptedSlot:
    """Where one job has started."""

    __slots__ = ("forked", "job", "now", "started_at")

    def __init__(self, job: JobSink, started_at: float) -> None:
        self.job: JobSink | None = job
        self.now: float | None = started_at
        self.forked = False
        self.started_at = started_at

    def interrupt(self, job: JobSink) -> bool:  # noqa: ARG002 - see Capabilities
        """Never: the test's thread is not ours to interrupt."""
        return False

    def confirm(self, job: JobSink) -> None:
        """See `SlotView`: a job is claimed when the test starts it."""

    def progress(self, job: JobSink, value: object) -> None:
        """See `SlotView`: who asks is in this process."""


@final
class ScriptedBackend:
    """Jobs whose life the test scripts, step by step. Thread-safe.

    ::

        backend = ScriptedBackend()
        pool = WorkerPool(backend=backend.attach)
        future = pool.spawn(work)

        backend.start(future)  # it runs, as everybody else sees it
        future.cancel()  # ... and is abandoned
        backend.run(future)  # now the function is called, and returns

    Nothing runs that the test does not run: end all jobs before a ``shutdown`` that waits.

    Args:
        capabilities: What the backend claims to be.
    """

    def __init__(self, capabilities: Capabilities = CAPABILITIES) -> None:
        self.capabilities: Final = capabilities
        self._clock: Clock = SYSTEM_CLOCK
        self._refusal: BaseException | None = None  # protected by _lock, like all below
        self._reset(threading.RLock())

    def _reset(self, lock: PoolLock) -> None:
        self._lock = lock
        self._queue: JobQueue[JobSink] = JobQueue()
        self._slots: dict[JobSink, _ScriptedSlot] = {}
        self._watchers = Watchers(lock)

    def attach(self, lock: PoolLock, clock: Clock) -> ScriptedBackend:
        """Belong to the pool with this lock and clock: what ``WorkerPool(backend=...)`` calls."""
        self._clock = clock
        self._reset(lock)
        return self

    # ---- what the test calls --------------------------------------------------------------

    @property
    def queued(self) -> Sequence[JobSink]:
        """The jobs that wait, oldest first."""
        with self._lock:
            return self._queue.snapshot()

    @property
    def started(self) -> Sequence[JobSink]:
        """The jobs that were started, oldest first, and have neither been run nor crashed."""
        with self._lock:
            return list(self._slots)

    def start(self, job: JobSink | None = None) -> JobSink:
        """Let a slot take *job*, by default the oldest one; its function is not called yet.

        Raises:
            InvalidStateError: *job* does not wait here, or none does.
        """
        with self._lock:
            if job is None:
                job = self._queue.pop()
            elif job.is_over() or not self._queue.remove(job):
                raise InvalidStateError(f"{job!r} does not wait: spawn it first, start it once")
            if job is None:
                raise InvalidStateError("no job waits: spawn one first")
            slot = _ScriptedSlot(job, self._clock.now())
            if not job.claim(slot):
                raise InvalidStateError(f"{job!r} refused to start, though it is not over")
            self._slots[job] = slot
        return job

    def run(self, job: JobSink | None = None) -> JobSink:
        """Call the function of *job* here and now, starting it before where it was not.

        Without *job*: of the one that was started first, or else waits longest.

        Raises:
            InvalidStateError: *job* was run, crashed or cancelled before, or there is none.
        """
        job, slot = self._take(job)
        outer, this_thread.slot = this_thread.slot, slot
        # The job is no part of the task or the job in which the test runs it.
        executor, running.executor = running.executor, None
        blocker, running.blocker = running.blocker, None
        try:
            job.execute()
        finally:
            this_thread.slot = outer
            running.executor, running.blocker = executor, blocker
            self._forget(job)
        done = [job]
        del job, slot  # an error of the function keeps this frame
        return done.pop()

    def run_all(self) -> int:
        """Run everything, also what those jobs spawn; return how many jobs that were."""
        count = 0
        while self.started or self.queued:
            self.run()
            count += 1
        return count

    def crash(self, job: JobSink | None = None, error: BaseException | None = None) -> JobSink:
        """Let the slot of *job* die: the function never returns, the job fails with *error*.

        *job* is chosen and started as by `run`.

        Raises:
            InvalidStateError: as `run`.
        """
        job, _ = self._take(job)
        job.crash(error or WorkerRuntimeError(f"{job.label} crashed: the script says so"))
        self._forget(job)
        return job

    def refuse_next(self, error: BaseException) -> None:
        """Let the next `submit` fail with *error*, as where no worker can be started."""
        with self._lock:
            self._refusal = error

    def _take(self, job: JobSink | None) -> tuple[JobSink, _ScriptedSlot]:
        with self._lock:
            if job is None:
                job = next(iter(self._slots), None)
            if job is None or job not in self._slots:
                job = self.start(job)
            return job, self._slots[job]

    def _forget(self, job: JobSink) -> None:
        with self._lock:
            self._slots.pop(job, None)
        self._watchers.tell()

    # ---- what the pool calls --------------------------------------------------------------

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`."""
        with self._lock:
            refusal, self._refusal = self._refusal, None
            if refusal is None:
                self._queue.push(job)
        if refusal is not None and job.refuse(refusal):
            raise refusal

    def note_over(self, job: JobSink, *, was_running: bool) -> None:  # noqa: ARG002 - see Backend
        """See `Backend.note_over`."""
        if not was_running:
            with self._lock:
                self._queue.note_over()
        self._watchers.tell()

    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        with self._lock:
            running_jobs = [job for job in self._slots if not job.is_over()]
            return running_jobs + self._queue.snapshot()

    def drain(self) -> list[JobSink]:
        """See `Backend.drain`."""
        with self._lock:
            return self._queue.drain()

    def counts(self) -> BackendCounts:
        """See `Backend.counts`. The age of an abandoned job counts from its start here."""
        with self._lock:
            now = self._clock.now()
            abandoned = tuple(
                (job.label, now - slot.started_at)
                for job, slot in self._slots.items()
                if job.is_abandoned()
            )
            return BackendCounts(
                workers=len(self._slots),
                idle=0,
                queued=len(self._queue),
                running=sum(not job.is_over() for job in self._slots),
                abandoned=abandoned,
                lent=0,
                at_abandoned_cap=False,
            )

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`: waits for another thread to run what is left."""
        return self._watchers.wait(lambda: not self.jobs(), timeout)

    def warm_up(self, timeout: float | None) -> bool:  # noqa: ARG002 - nothing takes long here
        """See `Backend.warm_up`: there are no workers."""
        return True

    def close(self) -> None:
        """See `Backend.close`."""
        self._watchers.tell()

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`: waits for another thread to run what is left."""
        return self.wait_idle(timeout)

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`."""
        lost = [*self._slots, *self._queue.drain()]
        self._reset(lock)
        return lost
