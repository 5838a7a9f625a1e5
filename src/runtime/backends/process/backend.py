"""Jobs in child processes: what a pool asks for. The parts are in the modules beside this one.

Threads: see `Backend`. Hot path: `ProcessBackend.submit`.
Source: worker-api-spec.md, section 10; process-wire-spec.md; ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.backends.base import BackendCounts, Capabilities, ChildView
from runtime.backends.process import nesting
from runtime.backends.process.answers import Answers
from runtime.backends.process.child_state import ChildState
from runtime.backends.process.context import ContextPacker
from runtime.backends.process.hub import Hub
from runtime.backends.process.ladder import Ladder
from runtime.backends.process.nursery import Nursery
from runtime.backends.process.packing import Packer
from runtime.backends.process.parcel import Parcel
from runtime.errors import PoolShutdownError, UnpicklableError
from runtime.locking import locked, taking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.backends.base import JobSink, PoolLock
    from runtime.backends.process.child import Child
    from runtime.backends.process.packing import Packed
    from runtime.backends.process_options import ProcessSettings
    from runtime.clock import Clock

__all__ = ("ProcessBackend",)

CAPABILITIES: Final = Capabilities(
    name="process", can_kill=True, needs_pickle=True, can_interrupt=True
)


class ProcessBackend:
    """See `Backend`; one pool's child processes.

    Args:
        lock: The pool's lock, an RLock.
        clock: What deadlines and times are measured on.
        settings: The pool's options.

    Raises:
        PoolDeadlockError: pools of processes are nested too deep.
        UnpicklableError: the initializer or the finalizer cannot travel.
    """

    capabilities: Final = CAPABILITIES

    def __init__(self, lock: PoolLock, clock: Clock, settings: ProcessSettings) -> None:
        nesting.check_depth(settings.name)
        self._clock = clock
        self._settings = settings
        self._context = ContextPacker(settings.context_vars)
        self._packer = Packer()
        self._begin(lock)

    def _begin(self, lock: PoolLock) -> None:
        """Be as new, under *lock*: when made, and in a forked child."""
        self.lock = lock
        self.taking = taking(lock)
        self._hub = hub = Hub(lock, self._clock, self._settings)
        self._fleet = fleet = hub.fleet
        self._push = fleet.queue.push
        self._ladder = Ladder(hub)
        hub.give_up = self._ladder.give_up
        self._nursery = Nursery(hub)
        self._answers = Answers(hub, self._nursery)
        self._nursery.deaths.read = self._answers.read

    # ---- taking jobs ----------------------------------------------------------------------

    def submit(self, job: JobSink) -> None:
        """See `Backend.submit`.

        Raises:
            UnpicklableError: the function or its arguments cannot travel; *job* was refused.
            QuarantinedJobError: this very call has killed too many children; as above.
        """
        fleet = self._fleet
        if fleet.broken is not None:
            error = self._hub.broken_error()
            job.refuse(error)
            raise error
        self._pack(job)
        self._push(job)
        deadline = job.deadline
        if deadline is not None and deadline <= self._clock.now():
            job.expire()  # ahead of the watcher: it never begins
        if not fleet.is_full:
            self._hub.dispatch()
        # Looked at after the push: either who closes sees the job, or this does.
        if fleet.closing:
            self._refuse_late(job)

    def _pack(self, job: JobSink) -> None:
        packed: Packed | None = None
        try:
            context = self._context.pack(job.context, job) if self._context else b""
            packed = self._packer.pack(job.work, job)
            self._check_size(packed, job)
            if self._hub.quarantine.is_needed:
                refusal = self._hub.quarantine.check(packed, job.label)  # long: no lock is held
                if refusal is not None:
                    raise refusal  # noqa: TRY301 - refused below, as all others
        except BaseException as error:
            if packed is not None:
                packed.close()
            job.refuse(error)
            raise
        job.work = Parcel(packed, context)

    def _check_size(self, packed: Packed, job: JobSink) -> None:
        most = self._settings.max_message_bytes
        size = len(packed.function) + len(packed.call)
        if packed.attachment is not None:
            size += packed.attachment.size
        if size > most:
            raise UnpicklableError(
                job.label,
                f"its function and its arguments take {size} bytes",
                reason=f"max_message_bytes={most}",
                advice="pass less, for instance the name of a file, or allow more",
            )

    def _refuse_late(self, job: JobSink) -> None:
        """*job* came while the backend was closing: it runs, or its spawner is told."""
        fleet = self._fleet
        if fleet.broken is not None:
            error: BaseException = self._hub.broken_error()
        else:
            error = PoolShutdownError(
                f"{self._settings.name} is shut down and takes no more jobs: make a new WorkerPool"
            )
        if job.refuse(error):
            self._note_shell()
            raise error

    @locked
    def _note_shell(self) -> None:
        self._fleet.queue.note_over()

    def note_over(self, job: JobSink, *, was_running: bool) -> None:
        """See `Backend.note_over`."""
        if was_running:
            self._ladder.give_up(job)
            self._hub.loader.note_over()
        else:
            self._note_shell()
            if not self._fleet.is_full:
                self._hub.dispatch()  # what was taken back with it goes on
        if self._fleet.watchers:
            self._fleet.watchers.tell()

    # ---- looking --------------------------------------------------------------------------

    @locked
    def jobs(self) -> list[JobSink]:
        """See `Backend.jobs`."""
        return self._fleet.jobs()

    @locked
    def drain(self) -> list[JobSink]:
        """See `Backend.drain`."""
        fleet = self._fleet
        for child in fleet.children.values():
            fleet.take_back(child)
        return fleet.queue.drain()

    @locked
    def counts(self) -> BackendCounts:
        """See `Backend.counts`."""
        fleet, now = self._fleet, self._clock.now()
        running = sum(not job.is_over() for job in fleet.settling.copy())
        ahead, abandoned = 0, []
        for child in fleet.children.values():
            for _, job in child.in_flight:
                if job.is_abandoned():
                    abandoned.append((job.label, now - child.since))
                elif job.is_pending():
                    ahead += 1
                elif not job.is_over():
                    running += 1
        return BackendCounts(
            workers=len(fleet.children),
            idle=len(fleet.idle),
            queued=len(fleet.queue) + len(fleet.again) + ahead,
            running=running,
            abandoned=tuple(abandoned),
            lent=0,
            at_abandoned_cap=False,
            children=tuple(self._view(child, now) for child in fleet.children.values()),
            restarts=self._hub.budget.crashes,
            recycled=fleet.recycled,
        )

    @staticmethod
    def _view(child: Child, now: float) -> ChildView:
        job = child.job
        return ChildView(
            child.number,
            child.pid,
            child.state.value,
            now - child.born_at,
            child.jobs_done,
            None if job is None else job.label,
            None if job is None else now - child.since,
        )

    # ---- waiting --------------------------------------------------------------------------

    def wait_idle(self, timeout: float | None) -> bool:
        """See `Backend.wait_idle`."""
        self._hub.dispatch()  # a spawn that a KeyboardInterrupt cut short may have sent nothing
        return self._fleet.watchers.wait(self._fleet.is_idle, timeout)

    def warm_up(self, timeout: float | None) -> bool:
        """See `Backend.warm_up`."""
        self._note_warming(1)
        try:
            self._hub.dispatch()
            return self._fleet.watchers.wait(self._is_warm, timeout)
        finally:
            self._note_warming(-1)

    @locked
    def _note_warming(self, more: int) -> None:
        self._fleet.warming += more
        if more > 0:
            self._fleet.start_error = None

    def _is_warm(self) -> bool:
        """Needs lock."""
        fleet = self._fleet
        if fleet.broken is not None:
            raise self._hub.broken_error()
        if fleet.closing:
            return True
        if fleet.start_error is not None:
            raise fleet.start_error
        ready = sum(
            child.state not in {ChildState.STARTING, ChildState.LEAVING}
            for child in fleet.children.values()
        )
        return ready >= self._settings.max_workers

    def close(self) -> None:
        """See `Backend.close`."""
        self._set_closing()
        self._nursery.farewells.look()
        # Its thread sees to the rest, also where no child is left; but not twice.
        if self._fleet.is_used and not self._fleet.is_closed:
            try:
                self._hub.collector.ask(_nothing)
            except (RuntimeError, OSError):  # the interpreter exits, and no child is left
                self._hub.collector.end_here()
        self._fleet.watchers.tell()

    @locked
    def _set_closing(self) -> None:
        self._fleet.closing = True

    def join(self, timeout: float | None) -> bool:
        """See `Backend.join`."""
        if self._hub.collector.is_here():
            return False
        return self._fleet.watchers.wait(self._fleet.has_ended, timeout)

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call *call* when it is closed and no child is left, abandoned ones included."""
        fleet = self._fleet
        fleet.watchers.when(lambda: fleet.has_ended() and not fleet.children, call)

    # ---- fork -----------------------------------------------------------------------------

    def reset_after_fork(self, lock: PoolLock) -> Iterable[JobSink]:
        """See `Backend.reset_after_fork`. Runs alone: the child has one thread."""
        fleet = self._fleet
        lost = [*fleet.settling, *fleet.again]
        for child in fleet.children.values():
            lost += [job for _, job in child.in_flight]
        lost += fleet.queue.snapshot()
        self._let_go_of_the_parents()
        self._begin(lock)
        self._fleet.closing, self._fleet.broken = fleet.closing, fleet.broken
        return lost

    def _let_go_of_the_parents(self) -> None:
        """Close what was inherited: above all the lifelines, which would keep children alive."""
        for child in self._fleet.children.values():
            child.close()
        self._hub.collector.reset_after_fork()
        self._nursery.forget()


def _nothing() -> None:
    """Wakes the collector."""
