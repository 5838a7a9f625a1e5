"""A job on its way to a child: what the parent makes of it, and how the child reads it.

The payload of a `JOB` frame is a fixed head, then the name, the function, the context and the
arguments, each with the length that the head says. The function is left out where
the child still has it (its key says which); what is large travels in a sealed memory file.
Threads: none of its own. Hot path: `job_frame`, under the pool's lock.
Source: process-wire-spec.md, section 2; ADR-009.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import TYPE_CHECKING, Final

from runtime.backends.process.wire import HEADER, VERSION, FrameType

if TYPE_CHECKING:
    from runtime.backends.base import JobSink
    from runtime.backends.process.outbox import Part
    from runtime.backends.process.packing import Packed
    from runtime.backends.process.unpacking import KnownFunctions

__all__ = ("CARRIED", "HEAD", "INTERRUPT", "NEVER", "Parcel", "job_frame")

# id, key of the function, deadline, run_timeout, and the lengths of name, function, context, call
HEAD: Final = Struct("<QQddIIIQ")
_FRAME: Final = Struct(HEADER.format + HEAD.format[1:])  # the frame's own head in front of it

NEVER: Final = math.inf  # instead of a time

# Bits of the frame's kind:
INTERRUPT: Final = 1  # the job may be interrupted
CARRIED: Final = 2  # what is beside the arguments otherwise comes behind them


class Parcel:
    """What is sent of one job, kept until it has ended: it may have to go to another child.

    Attributes:
        packed: The function and its arguments.
        context: The pickled values of context variables, or nothing.
        crashes: What became of the children that died of it.
        is_bare: Whether a child could not take the descriptors that it brings: what is in
            them is sent in the frame from then on.
    """

    __slots__ = ("context", "crashes", "is_bare", "packed")

    def __init__(self, packed: Packed, context: bytes) -> None:
        self.packed = packed
        self.context = context
        self.crashes: tuple[str, ...] = ()
        self.is_bare = False


def job_frame(number: int, job: JobSink, known: KnownFunctions, deadline: float | None) -> Part:
    """Return the frame that asks for *job*, with the descriptors that it brings.

    Args:
        number: Of the job, for this child.
        job: What is to be done; its ``work`` is a `Parcel`.
        known: The functions that the child has; this one will be among them.
        deadline: On the child's clock, or None.
    """
    parcel = job.work
    packed = parcel.packed
    key, function, call = packed.key, packed.function, packed.call
    flags = 0
    if not known.must_send(key, function):
        function = b""
    if job.wants_interrupt:
        flags |= INTERRUPT
    name = b"" if job.given_name is None else job.given_name.encode("utf-8", "surrogatepass")
    descriptors: tuple[int, ...] = ()
    carried: bytes | bytearray = b""
    attachment = packed.attachment
    if attachment is not None:
        if parcel.is_bare:
            flags |= CARRIED
            carried = attachment.read()
        else:
            descriptors = (attachment.fileno(),)
    context = parcel.context
    head = _FRAME.pack(
        VERSION,
        FrameType.JOB,
        flags,
        len(descriptors),
        0,
        number,
        HEAD.size + len(name) + len(function) + len(context) + len(call) + len(carried),
        job.number,
        key,
        NEVER if deadline is None else deadline,
        NEVER if job.run_timeout is None else job.run_timeout,
        len(name),
        len(function),
        len(context),
        len(call),
    )
    if name or function or context or call or carried:
        head = b"".join((head, name, function, context, call, carried))
    return head, descriptors, attachment
