"""What a backend is, and all that it knows of a job.

A backend runs jobs; it never decides an outcome. It sees a job as a `JobSink` and tells it
what happens: claimed by a slot, executed, refused. `workers` implements the sink.
Source: worker-api-spec.md, section 8; ADR-006.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextvars import Context
    from types import TracebackType

__all__ = (
    "Backend",
    "BackendCounts",
    "Capabilities",
    "ChildView",
    "JobSink",
    "PoolLock",
    "SlotView",
    "ThisThread",
    "end_forked_child",
    "this_thread",
)


class Capabilities(NamedTuple):
    """How a backend differs from the others; whatever is not named here is the same everywhere.

    Attributes:
        name: The word that `PoolStatistics` and messages show.
        can_kill: Whether a running function can be stopped against its will.
        needs_pickle: Whether functions, arguments and results must be picklable.
        runs_in_caller: Whether ``spawn`` returns only after the job has run; then a Ctrl-C in a
            job on the main thread is raised there, too.
        can_interrupt: Whether ``interrupt=True`` can raise an exception in a running job.
    """

    name: str
    can_kill: bool = False
    needs_pickle: bool = False
    runs_in_caller: bool = False
    can_interrupt: bool = False


class PoolLock(Protocol):
    """A re-entrant lock: what ``threading.RLock()`` makes, whose class has no public name."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; the thread that has it may take it again."""
        ...

    def release(self) -> None:
        """Give it back, as often as it was taken."""
        ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


class SlotView(Protocol):
    """A place that runs one job at a time, as the job sees it."""

    now: float | None  # the end of the last job, where the next one followed at once
    forked: bool  # this process is a forked child, and its one thread a copy of this slot's

    @property
    def job(self) -> JobSink | None:
        """The job that runs here now."""
        ...

    def interrupt(self, job: JobSink) -> bool:
        """Raise `CancelRequestedError` in *job*, if it is the one on top; False if it is not."""
        ...

    def confirm(self, job: JobSink) -> None:
        """*job* was given to this slot and is not claimed, and somebody is about to settle it.

        Make true what its state says: it is taken back, so that it never begins, or, where it
        has begun, claimed. Needs the pool's lock.
        """
        ...

    def progress(self, job: JobSink, value: object) -> None:
        """The function of *job* reports *value* of itself; tell whoever is not in this process."""
        ...


class JobSink(Protocol):
    """A job, as a backend sees it.

    Attributes:
        slot: Where it runs, or waits to be run next; None elsewhere.
        work: What is to be called; a backend may put something of its own in its place,
            which is dropped with it.
    """

    slot: SlotView | None
    work: Any  # Any: see above

    @property
    def number(self) -> int:
        """The number of the job in its pool."""
        ...

    @property
    def name(self) -> str:
        """The name given to spawn, or ``worker-<id>``."""
        ...

    @property
    def given_name(self) -> str | None:
        """The name given to spawn."""
        ...

    @property
    def context(self) -> Context | None:
        """What the function is to run in."""
        ...

    @property
    def deadline(self) -> float | None:
        """When it times out, a point on the pool's clock."""
        ...

    @property
    def run_timeout(self) -> float | None:
        """How long it may run, in seconds."""
        ...

    @property
    def wants_interrupt(self) -> bool:
        """Whether the function may be interrupted once it is not wanted any more."""
        ...

    @property
    def label(self) -> str:
        """Who this is, for messages: ``worker 7 'resize'``."""
        ...

    @property
    def place(self) -> str:
        """Where it was spawned."""
        ...

    def is_over(self) -> bool:
        """Tell whether there is an outcome; then it need not run."""
        ...

    def is_abandoned(self) -> bool:
        """Tell whether there is an outcome, and the function still runs."""
        ...

    def is_pending(self) -> bool:
        """Tell whether it has neither begun nor an outcome, as far as is known here."""
        ...

    def claim(self, slot: SlotView) -> bool:
        """Begin to run on *slot*; False where it is over already. Needs the pool's lock."""
        ...

    def execute(self) -> None:
        """Call the function and settle with what it does.

        Raises:
            KeyboardInterrupt: as the function did, on the main thread, for a backend that runs
                jobs in the caller: it is the caller's own. Nothing else.
        """
        ...

    def begun(self) -> None:
        """Instead of `execute`, where the function runs elsewhere: it has been claimed."""
        ...

    def never_began(self) -> None:
        """It is over, was taken to have begun, and has not."""
        ...

    def returned(self, value: object) -> None:
        """After `begun`: the function has returned *value*."""
        ...

    def publish(self, value: object) -> bool:
        """Do the first half of `returned`; True where `announce` is to follow."""
        ...

    def announce(self) -> None:
        """Do the second half: wake who waits."""
        ...

    def raised(self, error: BaseException) -> None:
        """After `begun`: the function has raised *error*."""
        ...

    def crash(self, error: BaseException) -> None:
        """Instead of `execute`, or in the middle of it: the slot has died, the function with it."""
        ...

    def note_progress(self, value: object) -> None:
        """The function reports *value* of itself."""
        ...

    def expire(self) -> bool:
        """Its deadline has passed: settle as timed out; False where it is over already."""
        ...

    def refuse(self, error: BaseException) -> bool:
        """Fail without having run; False where it is over already."""
        ...


class BackendCounts(NamedTuple):
    """The backend's share of `PoolStatistics`."""

    workers: int
    idle: int
    queued: int
    running: int
    abandoned: tuple[tuple[str, float], ...]
    lent: int
    at_abandoned_cap: bool
    children: tuple[ChildView, ...] = ()
    restarts: int = 0
    recycled: int = 0


class ChildView(NamedTuple):
    """A child process at one moment; see `ChildStatistics`."""

    number: int
    pid: int
    state: str
    age: float
    jobs_done: int
    current_job: str | None
    current_age: float | None


class Backend(Protocol):
    """Runs jobs. All methods are thread-safe; those that say so need the pool's lock."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do; never changes."""
        ...

    def submit(self, job: JobSink) -> None:
        """Take *job*: from here on it ends, in one way or another.

        Raises:
            WorkerStartError: no worker could be started and none is there; *job* was refused.
            PoolShutdownError: the backend takes no more jobs; *job* was refused.
        """
        ...

    def note_over(self, job: JobSink, *, was_running: bool) -> None:
        """*job* was cancelled or expired. The pool's lock is not held."""
        ...

    def jobs(self) -> list[JobSink]:
        """Return what waits and what runs, oldest first."""
        ...

    def drain(self) -> list[JobSink]:
        """Take out all jobs that wait; the caller settles them."""
        ...

    def counts(self) -> BackendCounts:
        """Return the numbers of this moment."""
        ...

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until nothing waits or runs (abandoned jobs apart); False after *timeout*."""
        ...

    def warm_up(self, timeout: float | None) -> bool:
        """Start all workers and wait until they are ready; False after *timeout*.

        Raises:
            WorkerStartError: one cannot be started.
            BrokenPoolError: they do not get ready.
        """
        ...

    def close(self) -> None:
        """Take no more jobs; workers leave when nothing waits. May be called twice."""
        ...

    def join(self, timeout: float | None) -> bool:
        """Wait for the workers to leave, abandoned ones apart; False after *timeout*."""
        ...

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """In a forked child: be as new, under *lock*; return the parent's jobs, lost here."""
        ...


def end_forked_child(error: BaseException | None) -> NoReturn:
    """End this process: a job forked, and in the child its function has come to its end.

    The child must not go on as a second worker of the parent's pool. It ends as a script would:
    buffers flushed, status 0; the status of a `SystemExit`; 1 after another *error*.
    """
    status = 1
    try:
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is None:
            status = 0
        else:
            sys.excepthook(type(error), error, error.__traceback__)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status & 0xFF)


class ThisThread(threading.local):
    """The slot that this thread works for; None outside of jobs."""

    slot: SlotView | None = None


this_thread: Final = ThisThread()
