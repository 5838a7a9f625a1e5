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
from runtime.backends.process.describing import (
    args_text,
    message_of,
    traceback_text,
    type_names,
)
from runtime.backends.process.failures import runs_code, unpack_error
from runtime.backends.process.results import may_run_code, unpack_result
from runtime.backends.process.serving import REPLACE_ME
from runtime.backends.process.wire import FrameType
from runtime.errors import ProtocolError, RemoteError
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
        try:
            logger(__name__).error("the answer of %s was lost", job.label, exc_info=error)
        finally:
            self._finish(job, None, error)

    def _settle(self, job: JobSink, frame: Frame) -> None:
        """Settle *job*; elsewhere where that may run code of the user, or take long."""
        if frame.type == FrameType.ERROR:
            drop([frame])
            if runs_code(frame.payload, data_only=self._data_only):
                self.hub.loader.submit(functools.partial(self._load_error, job, frame), job)
            else:
                self._load_error(job, frame)
            return
        kind = frame.kind & ~REPLACE_ME
        if frame.descriptors or may_run_code(kind, frame.payload):
            self.hub.loader.submit(functools.partial(self._load_value, job, frame), job)
        else:
            self._load_value(job, frame)

    def _load_value(self, job: JobSink, frame: Frame) -> None:
        try:
            self._finish(job, *self._value(job, frame))
        except BaseException as error:  # noqa: BLE001 - here nobody else catches it
            self._cannot_settle(job, error)

    def _load_error(self, job: JobSink, frame: Frame) -> None:
        try:
            self._finish(job, None, self.error(frame, job.label))
        except BaseException as error:  # noqa: BLE001 - as above
            self._cannot_settle(job, error)

    def _value(self, job: JobSink, frame: Frame) -> tuple[object, BaseException | None]:
        """Return the value that came, or the error that stands for it."""
        if job.is_over():  # nobody wants it any more, and it may take for ever
            drop([frame])
            return None, None
        try:
            value: object = unpack_result(
                frame.kind & ~REPLACE_ME,
                frame.payload,
                _attachment(frame, job),
                data_only=self._data_only,
                label=job.label,
            )
        except BaseException as error:  # noqa: BLE001 - it is the job's outcome
            return None, error
        return value, None

    def _finish(self, job: JobSink, value: object, error: BaseException | None) -> None:
        parcel = job.work
        try:
            if parcel is not None and parcel.packed.attachment is not None:
                parcel.packed.close()
        finally:
            self._give(job, value, error)

    def _give(self, job: JobSink, value: object, error: BaseException | None) -> None:
        """Settle *job*; where an error's class refuses that, with an error of ours."""
        try:
            if error is None:
                job.returned(value)
            else:
                try:
                    job.raised(error)
                except BaseException as refusal:  # noqa: BLE001 - it may be any code of the user
                    job.raised(_in_place_of(error, refusal, job.label))
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
            value = unpack_result(
                frame.kind,
                frame.payload,
                data_only=self._data_only,
                label=job.label,
                verb="report",
            )
        except BaseException:  # noqa: BLE001 - reported
            logger(__name__).exception("what %s reported of itself cannot be read", job.label)
        else:
            job.note_progress(value)


def _in_place_of(error: BaseException, refusal: BaseException, label: str) -> RemoteError:
    """Return what stands for *error*, of which *refusal* came when it became an outcome."""
    return RemoteError(
        label,
        type_names(type(error)),
        message_of(error),
        reason=f"handling it raised {type_names(type(refusal))[0]}: {message_of(refusal)}",
        args_text=args_text(error),
        remote_traceback=traceback_text(error),
    )


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
