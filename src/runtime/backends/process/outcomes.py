"""What the answers of children become: values and errors, given to the jobs.

Threads: the collector's; what may run code of the user, or take long, goes to the loader's.
Invariant: every job that is given to `Outcomes.settle` is settled, whatever its answer is.
Source: process-wire-spec.md, sections 3 and 6; ADR-009.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from runtime.backends.process.buffers import Attachment
from runtime.backends.process.failures import runs_code, unpack_error
from runtime.backends.process.results import may_run_code, unpack_result
from runtime.backends.process.serving import REPLACE_ME
from runtime.backends.process.wire import FrameType
from runtime.errors import ProtocolError
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.backends.base import JobSink
    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub
    from runtime.backends.process.wire import Frame

__all__ = ("Outcomes", "drop")


class Outcomes:
    """See the module.

    Args:
        hub: What it works on.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._fleet = hub.fleet
        self._data_only = hub.settings.results == "data"

    def settle(self, answers: list[tuple[JobSink, Frame]]) -> None:
        """Settle what was taken. The hot path of every job: None, and nothing beside it.

        Of these all are settled before anybody is woken: who waits for many of them wakes once.
        """
        settled: list[JobSink] = []
        awaited: list[JobSink] = []
        for job, frame in answers:
            try:
                if frame.type == FrameType.VALUE and not (
                    frame.kind & ~REPLACE_ME or frame.descriptors
                ):
                    settled.append(job)
                    if job.publish(None):
                        awaited.append(job)
                else:
                    self._settle(job, frame)
            except BaseException as error:  # noqa: BLE001 - a bug of ours: the others go on
                self._cannot_settle(job, error)
        if settled:
            self._settled(settled)
        for job in awaited:
            job.announce()

    def _cannot_settle(self, job: JobSink, error: BaseException) -> None:
        """Whoever waits for *job* is told at least that."""
        logger(__name__).error("the answer of %s was lost: %r", job.label, error, exc_info=error)
        self._finish(job, None, error)

    def _settle(self, job: JobSink, frame: Frame) -> None:
        """Settle *job*; elsewhere where that may run code of the user, or take long."""
        if frame.type == FrameType.ERROR:
            drop([frame])
            if runs_code(frame.payload, data_only=self._data_only):
                self.hub.loader.submit(functools.partial(self._load_error, job, frame))
            else:
                self._load_error(job, frame)
            return
        kind = frame.kind & ~REPLACE_ME
        if frame.descriptors or may_run_code(kind, frame.payload):
            self.hub.loader.submit(functools.partial(self._load_value, job, frame))
        else:
            self._load_value(job, frame)

    def _load_value(self, job: JobSink, frame: Frame) -> None:
        try:
            value = unpack_result(
                frame.kind & ~REPLACE_ME,
                frame.payload,
                _attachment(frame, job),
                data_only=self._data_only,
                label=job.label,
            )
        except BaseException as error:  # noqa: BLE001 - it is the job's outcome
            self._finish(job, None, error)
        else:
            self._finish(job, value, None)

    def _load_error(self, job: JobSink, frame: Frame) -> None:
        self._finish(job, None, self.error(frame, job.label))

    def _finish(self, job: JobSink, value: object, error: BaseException | None) -> None:
        parcel = job.work
        if parcel is not None and parcel.packed.attachment is not None:
            parcel.packed.close()
        try:
            if error is None:
                job.returned(value)
            else:
                job.raised(error)
        finally:
            self._settled((job,))
            if self._fleet.watchers:
                self._fleet.watchers.tell()

    def _settled(self, jobs: Iterable[JobSink]) -> None:
        """They have their outcomes: one atomic call."""
        self._fleet.settling.difference_update(jobs)

    def error(self, frame: Frame, label: str) -> BaseException:
        """Return the error that came, or what stands for one that cannot be read."""
        try:
            return unpack_error(frame.payload, data_only=self._data_only, label=label)
        except BaseException as error:  # noqa: BLE001 - it stands for what cannot be read
            return error

    # ---- progress -------------------------------------------------------------------------

    def progress(self, child: Child, frame: Frame) -> None:
        """Note what the job of *child* reports of itself."""
        job = child.job
        if job is None or child.in_flight[0][0] != frame.number:
            return
        note = functools.partial(self._note_progress, job, frame)
        if may_run_code(frame.kind, frame.payload):
            self.hub.loader.submit(note)
        else:
            note()

    def _note_progress(self, job: JobSink, frame: Frame) -> None:
        try:
            value = unpack_result(frame.kind, frame.payload, data_only=self._data_only)
        except BaseException:  # noqa: BLE001 - reported
            logger(__name__).exception("what %s reported of itself cannot be read", job.label)
        else:
            job.note_progress(value)


def _attachment(frame: Frame, job: JobSink) -> Attachment | None:
    """Return what came beside *frame*."""
    if frame.descriptors:
        for fd in frame.descriptors[1:]:
            os.close(fd)
        return Attachment.from_fd(frame.descriptors[0])
    if frame.lost_descriptors:
        raise ProtocolError(
            f"the result of {job.label} came without its buffers: this process may have "
            "no more descriptors; close some, or raise the limit"
        )
    return None


def drop(frames: Iterable[Frame]) -> None:
    """Close what came beside *frames*: it is of no use."""
    for frame in frames:
        for fd in frame.descriptors:
            os.close(fd)
