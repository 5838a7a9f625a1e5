"""The program of a child process: what `starting` calls there, and what a job sees of it.

Threads: the main thread, and no other. Signals: SIGINT does nothing (the parent decides), one
real-time signal asks the running job to stop.
Source: worker-api-spec.md, section 10; process-wire-spec.md, section 7; ADR-009.
"""

from __future__ import annotations

import functools
import os
import pickle
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, cast

from runtime.backends.base import end_forked_child, this_thread
from runtime.backends.process import child_limits, child_logging, nesting, output
from runtime.backends.process.channel import Channel
from runtime.backends.process.failures import pack_error
from runtime.backends.process.lifeline import arm_lifeline
from runtime.backends.process.page import FAULTS_OFFSET, Page
from runtime.backends.process.results import pack_result
from runtime.backends.process.serving import Server, ServerOptions
from runtime.backends.process.stop_token import TOKEN_SIGNAL
from runtime.backends.process.unpacking import Order, ReceivedFunction, label_of
from runtime.backends.process.wire import FrameType

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import JobSink
    from runtime.backends.interrupts import Interrupts
    from runtime.workers.job import WorkerFuture

__all__ = ("run",)

_PLAN_LIMIT: Final = 1 << 32
_UNFIT: Final = 70  # EX_SOFTWARE: the initializer raised


class _Slot:
    """The one place where jobs run in this process; see `SlotView` and `serving.JobSlot`.

    Most jobs never ask who they are, so their own job object is made when somebody asks.
    """

    def __init__(self, channel: Channel, *, data_only: bool) -> None:
        self._data_only = data_only
        self.channel = channel
        self.now: float | None = None
        self.forked = False
        self.ident = threading.get_ident()
        self.interrupts: Interrupts | None = None
        self._order: Order | None = None
        self._made: WorkerFuture[Any] | None = None
        self._asked = False  # whether the job should stop

    # ---- what `serving` calls -------------------------------------------------------------

    def begin(self, order: Order, call: Callable[[], Any]) -> Callable[[], Any]:
        """See `serving.JobSlot`."""
        self._asked = False
        self._order = order
        if not order[4]:
            return call
        from runtime.workers.child_job import interruptible  # noqa: PLC0415 - see there

        return interruptible(cast("WorkerFuture[Any]", self.job), call)

    def end(self, error: BaseException | None) -> BaseException | None:
        """See `serving.JobSlot`."""
        if self.forked:
            end_forked_child(error)
        job, self._made, self._order = self._made, None, None
        if job is not None:
            from runtime.workers.child_job import end_job  # noqa: PLC0415 - it is loaded

            end_job(job, error)
        return error

    def stop(self, number: int) -> None:
        """See `serving.JobSlot`. In a signal handler, where nothing may be imported."""
        order = self._order
        if order is None or order[0] != number:
            return
        self._asked = True  # before the look: who makes the job meanwhile looks at this last
        job = self._made
        if job is not None and job.cancel() and order[4]:
            self.interrupt(job)

    # ---- what jobs see (SlotView) ---------------------------------------------------------

    @property
    def job(self) -> WorkerFuture[Any] | None:
        """The job that runs now."""
        order = self._order
        if order is None:
            return None
        if self._made is None:
            from runtime.workers.child_job import make_job  # noqa: PLC0415 - see there

            self._made = job = make_job(self, order)
            if self._asked:
                job.cancel()
        return self._made

    def interrupt(self, job: JobSink) -> bool:
        """See `SlotView`."""
        return self.interrupts is not None and self.interrupts.send(job)

    def confirm(self, job: JobSink) -> None:
        """See `SlotView`: nothing is sent ahead from here."""

    def progress(self, job: object, value: object) -> None:
        """See `SlotView`."""
        order = self._order
        if order is not None and job is self._made:
            kind, data, _ = pack_result(
                value,
                _PLAN_LIMIT,
                label=label_of(order),
                data_only=self._data_only,
                in_band=True,
                verb="report",
            )
            self.channel.send(FrameType.PROGRESS, order[0], data, kind=kind)

    def describe(self) -> tuple[int, str] | None:
        """Return number and name of the job that runs, for log records."""
        order = self._order
        return None if order is None else (order[1], order[2] or f"worker-{order[1]}")


def run(channel_fd: int, page_fd: int, lifeline_fd: int, output_fd: int, errors_fd: int) -> int:
    """Be a child until the pool lets it go; return the status to end with."""
    arm_lifeline(lifeline_fd)
    sock = socket.socket(fileno=channel_fd)
    sock.setblocking(True)
    channel = Channel(sock, _PLAN_LIMIT)
    plan = _read_plan(channel)
    if plan is None:
        return 0
    options = ServerOptions(*plan["server"])
    slot = _Slot(channel, data_only=options.data_only)
    _settle_in(plan, channel, slot, page_fd, (output_fd, errors_fd))
    channel.send(FrameType.HELLO, os.getpid())
    try:
        if plan["max_memory_bytes"] is not None:
            child_limits.set_memory_limit(plan["max_memory_bytes"])
        _call(plan["initializer"])
    except BaseException as error:  # noqa: BLE001 - told to the pool, which is broken by it
        channel.send(FrameType.UNFIT, os.getpid(), pack_error(error, "the initializer"))
        return _UNFIT
    server = Server(channel, Page(page_fd), slot, options)
    signal.signal(TOKEN_SIGNAL, server.on_token)
    this_thread.slot = slot
    channel.send(FrameType.READY, os.getpid())
    try:
        server.serve()
        _call(plan["finalizer"])
    finally:
        output.flush_output()
    return 0


def _settle_in(
    plan: dict[str, Any], channel: Channel, slot: _Slot, page_fd: int, outputs: tuple[int, int]
) -> None:
    """Be as the plan says, before any code of the user runs."""
    os.environ.clear()
    os.environ.update(plan["environ"])
    output.redirect_output(*outputs)
    child_limits.detach_stdin()
    child_limits.enable_fault_reports(page_fd, FAULTS_OFFSET)
    child_logging.install(
        child_logging.LogPlan(*plan["logging"]),
        functools.partial(channel.send, FrameType.LOG, 0),
        slot.describe,
    )
    nesting.enter(plan["depth"], plan["max_depth"])
    os.register_at_fork(after_in_child=functools.partial(_in_forked_child, slot))


def _call(packed: tuple[bytes, bytes] | None) -> None:
    """Call a function of the pool's."""
    if packed is not None:
        function, call = packed
        ReceivedFunction(function).bind(call)()


def _read_plan(channel: Channel) -> dict[str, Any] | None:
    """Return what the pool says first of all; None where it is gone, or needs no child any more."""
    while True:
        frames = channel.frames()
        if any(frame.type == FrameType.LEAVE for frame in frames):  # it has come with the plan
            return None
        if frames:
            plan: dict[str, Any] = pickle.loads(frames[0].payload)
            return plan
        if not channel.fill():
            return None


def _in_forked_child(slot: _Slot) -> None:
    """A job has forked: the new process is none of the pool's."""
    slot.forked = True
    slot.channel.disown()
