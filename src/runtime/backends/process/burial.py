"""What becomes of the jobs of a child that has died.

Threads: the collector's. Source: process-wire-spec.md, section 4; ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime.backends.process.budget import mark_of
from runtime.backends.process.child_limits import read_fault_report
from runtime.backends.process.child_state import ChildState
from runtime.backends.process.page import FAULTS_OFFSET, FINISHED, SKIPPED, STARTED
from runtime.backends.process.traveling import reason_of
from runtime.errors import QuarantinedJobError, WorkerCrashedError, WorkerStartupError
from runtime.locking import locked
from runtime.logs import logger

if TYPE_CHECKING:
    from runtime.backends.base import JobSink
    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub
    from runtime.errors import RestartBudgetError

__all__ = ("Burial", "describe")


class _Death(NamedTuple):
    """How a child ended, and what it takes along."""

    child: Child
    status: int | None
    peak_bytes: int | None
    victims: list[tuple[JobSink, bool]]  # what it had begun, and whether that had ended
    state: ChildState  # before it died
    is_crash: bool


class Burial:
    """See the module.

    Args:
        hub: What it works on.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking

    def bury(self, child: Child, status: int | None, peak_bytes: int | None) -> None:
        """Settle what *child* takes along, put the rest in front of what waits. Without lock."""
        death = self._strike(child, status, peak_bytes)
        if death is None:
            return
        for job, has_ended in death.victims:
            try:
                self._settle(death, job, has_ended=has_ended)
            except BaseException as error:  # noqa: BLE001 - a bug of ours: the others go on
                logger(__name__).exception("the crash of %s cannot be told", job.label)
                job.crash(error)
        if death.is_crash:
            self._count(death)

    @locked
    def _strike(self, child: Child, status: int | None, peak_bytes: int | None) -> _Death | None:
        fleet = self.hub.fleet
        if child.number not in fleet.children:
            return None
        words = child.page.words
        started, finished, skipped = words[STARTED], words[FINISHED], words[SKIPPED]
        fleet.take_back(child)
        victims: list[tuple[JobSink, bool]] = []
        for number, job in reversed(child.in_flight):
            if number > started or (number == skipped and number > finished):
                job.slot = None
                fleet.put_back(job)
            else:
                victims.insert(0, (job, number <= finished))
        child.in_flight.clear()
        state = child.state
        fleet.strike(child)
        is_crash = not child.is_dying
        return _Death(child, status, peak_bytes, victims, state, is_crash)

    # ---- the jobs -------------------------------------------------------------------------

    def _settle(self, death: _Death, job: JobSink, *, has_ended: bool) -> None:
        settings, parcel = self.hub.settings, job.work
        error = self._crash_error(death, job, has_ended=has_ended)
        if job.is_over() or parcel is None:
            job.crash(error)
            return
        parcel.crashes = (*parcel.crashes, describe(death.status, death.child.pid))
        kills = len(parcel.crashes)
        mark_of(parcel.packed)  # not under the lock: it may be long
        with_history = self._note_kill(job, parcel.crashes[-1])
        if kills > settings.retry_on_crash and settings.retry_on_crash:
            refusal = QuarantinedJobError(job.label, kills, parcel.crashes)
            refusal.__cause__ = error
            job.crash(refusal)
        elif (
            kills > settings.retry_on_crash
            or with_history >= settings.max_crashes
            or not self._run_again(job)
        ):
            job.crash(error)

    @locked
    def _note_kill(self, job: JobSink, what: str) -> int:
        return self.hub.quarantine.note(job.work.packed, what)

    @locked
    def _run_again(self, job: JobSink) -> bool:
        """False where it has been settled meanwhile."""
        if job.is_over():
            return False
        job.slot = None
        self.hub.fleet.again.append(job)
        return True

    def _crash_error(self, death: _Death, job: JobSink, *, has_ended: bool) -> WorkerCrashedError:
        child = death.child
        why = child.why_ended
        error = WorkerCrashedError(
            job.label,
            pid=child.pid,
            exit_code=death.status,
            log_lines=child.relay.last_lines(),
            stack=read_fault_report(child.page_fd, FAULTS_OFFSET),
            peak_bytes=death.peak_bytes,
            finished=has_ended,
            reason=reason_of(why) if isinstance(why, BaseException) else why or "",
        )
        error.__cause__ = why if isinstance(why, BaseException) else None
        return error

    # ---- the pool -------------------------------------------------------------------------

    def _count(self, death: _Death) -> None:
        child, settings = death.child, self.hub.settings
        what = describe(death.status, child.pid)
        if death.victims:
            what += ", running " + ", ".join(job.label for job, _ in death.victims)
        elif death.state is ChildState.STARTING:
            what += ", before it was ready"
        else:
            what += ", with no job"
        logger(__name__).warning("%s: a worker process crashed: %s", settings.name, what)
        if settings.initializer is not None and _ended_itself(death):
            self.hub.break_pool(
                WorkerStartupError(
                    settings.name,
                    f"its initializer ended the process (exit status {death.status})",
                    pid=child.pid,
                    remote_traceback=read_fault_report(child.page_fd, FAULTS_OFFSET),
                )
            )
            return
        broken = self._note_crash(what)
        if broken is not None:
            self.hub.break_pool(broken)

    @locked
    def _note_crash(self, what: str) -> RestartBudgetError | None:
        return self.hub.budget.note(self.hub.clock.now(), what)


def _ended_itself(death: _Death) -> bool:
    """Tell whether the child ended of its own will, when its initializer may have run."""
    if death.state is not ChildState.STARTING or not death.child.is_set_up:
        return False
    return death.status is not None and death.status >= 0


def describe(status: int | None, pid: int) -> str:
    """Return how process *pid* ended, in a few words."""
    if status is None:
        return f"process {pid} ended, nobody can tell how"
    if status < 0:
        return f"process {pid} was killed by signal {-status}"
    return f"process {pid} exited with status {status}"
