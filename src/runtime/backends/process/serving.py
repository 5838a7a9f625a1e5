"""What a child does: take jobs off its socket, run them one by one, answer each at once.

Threads: everything here is the child's main thread, which is where Python runs signal handlers;
there is no other thread, so a job may fork. Nothing is shared with other children.
Order, for each job: note on the page that it begins; look whether it was taken back; run it; note
that it has ended; answer. So whatever kills the child, the pool knows what became of which job.
Source: process-wire-spec.md, sections 2 to 5; ADR-009.
"""

from __future__ import annotations

import contextvars
import os
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from runtime.backends.process.buffers import Attachment
from runtime.backends.process.context import set_variables
from runtime.backends.process.failures import MAX_ERROR_BYTES, pack_error
from runtime.backends.process.memory import MemoryGrowth
from runtime.backends.process.output import StandardStreams, flush_output
from runtime.backends.process.page import (
    CANCELLED,
    FINISHED,
    REVOKED,
    SKIPPED,
    STARTED,
    fence,
)
from runtime.backends.process.parcel import CARRIED, HEAD, INTERRUPT, NEVER
from runtime.backends.process.results import pack_result
from runtime.backends.process.unpacking import Unpacker, label_of
from runtime.backends.process.wire import FrameType
from runtime.errors import ResultTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.channel import Channel
    from runtime.backends.process.page import Page
    from runtime.backends.process.unpacking import Order
    from runtime.backends.process.wire import Frame

__all__ = ("REPLACE_ME", "JobSlot", "Server", "ServerOptions")

REPLACE_ME: Final = 0x80  # a bit of an answer's kind: the child should get no more jobs
_head: Final = HEAD.unpack_from
_HEAD: Final = HEAD.size
_TRUSTED: Final = 3  # runs of a function that left the process as it was, and it is trusted
_MICROSECONDS: Final = 1e6
_MOST: Final = (1 << 32) - 1


class JobSlot(Protocol):
    """What the job sees of this process; made by the layer above. See `SlotView`."""

    def begin(self, order: Order, call: Callable[[], Any]) -> Callable[[], Any]:
        """A job begins; return what to call for it."""
        ...

    def end(self, error: BaseException | None) -> BaseException | None:
        """Its function has ended; return the error that is its outcome."""
        ...

    def stop(self, number: int) -> None:
        """The job with this number should stop, where it is the one that runs."""
        ...


class ServerOptions(NamedTuple):
    """What the pool has settled for its children."""

    threshold: int
    max_message_bytes: int
    max_rss_bytes: int | None
    data_only: bool


class Server:
    """See the module.

    Args:
        channel: To the pool.
        page: Shared with the pool.
        slot: Where jobs run.
        options: See there.
    """

    def __init__(self, channel: Channel, page: Page, slot: JobSlot, options: ServerOptions) -> None:
        self._channel = channel
        self._words = page.words
        self._slot = slot
        self._options = options
        self._unpacker = Unpacker()
        # After the initializer: what that has done is as it should be.
        self._streams = StandardStreams()
        self._growth = MemoryGrowth()
        self._trust: dict[int, int] = {}  # how often each function left everything in order
        self._base = contextvars.Context()

    def serve(self) -> None:
        """Run jobs until the pool says to leave, or is gone."""
        frames, fill = self._channel.frames, self._channel.fill
        while True:
            for frame in frames():
                if frame.type == FrameType.JOB:
                    self._job(frame)
                elif frame.type == FrameType.LEAVE:
                    return
            if not fill():
                return

    def _job(self, frame: Frame) -> None:
        """Run one job. The hot path of a child."""
        words, number, payload = self._words, frame.number, frame.payload
        id_, key, deadline, run_timeout, in_name, in_function, in_context, in_call = _head(payload)
        view = memoryview(payload)[_HEAD:]
        at = in_name + in_function
        # Also for a job that was taken back: the pool counts on what this child has by now.
        received = self._unpacker.accept(key, view[in_name:at])
        words[STARTED] = number
        fence()
        if words[REVOKED] >= number or frame.lost_descriptors:
            self._skip(frame)
            return
        name = str(view[:in_name], "utf-8", "surrogatepass") if in_name else None
        error: BaseException | None = None
        value: Any = None  # Any: whatever the job returns
        begin = monotonic()
        if run_timeout != NEVER:
            deadline = min(deadline, begin + run_timeout)
        order = (number, id_, name, deadline, frame.kind & INTERRUPT)
        try:
            context = self._base.copy()
            if in_context:
                set_variables(context, view[at : at + in_context])
            at += in_context
            stop = at + in_call
            if frame.descriptors or frame.kind & CARRIED:
                call = received.bind(view[at:stop], _attachment(frame, view[stop:]), order)
            else:
                call = received.bind(view[at:stop], None, order)
            call = self._slot.begin(order, call)
            if words[CANCELLED] == number:
                self._slot.stop(number)
            value = context.run(call)
        except BaseException as raised:  # noqa: BLE001 - it is the job's outcome
            error = raised
        call = context = received = None  # type: ignore[assignment]  # lets go of the arguments
        took = monotonic() - begin
        error = self._slot.end(error)
        words[FINISHED] = number
        self._answer(order, key, value, error, took)

    def _skip(self, frame: Frame) -> None:
        """Say that a job was not begun: it was taken back, or came without its descriptors."""
        self._words[SKIPPED] = frame.number
        for fd in frame.descriptors:
            os.close(fd)
        was_taken_back = self._words[REVOKED] >= frame.number
        kind = FrameType.SKIPPED if was_taken_back else FrameType.BARE
        self._channel.send(kind, frame.number)

    def on_token(self, *_: object) -> None:
        """The signal came that asks a job to stop; the page says which."""
        self._slot.stop(self._words[CANCELLED])

    def _answer(
        self, order: Order, key: int, value: object, error: BaseException | None, took: float
    ) -> None:
        extra = min(int(took * _MICROSECONDS), _MOST)
        replace = REPLACE_ME if self._is_unfit(key) else 0
        if value is None and error is None:  # nothing to pack
            self._channel.send(FrameType.VALUE, order[0], kind=replace, extra=extra)
            return
        if error is None:
            try:
                kind, data, attachment = self._pack(order, value)
            except BaseException as raised:  # noqa: BLE001 - then that is the outcome
                error = raised
            else:
                self._channel.send(
                    FrameType.VALUE,
                    order[0],
                    data,
                    kind=kind | replace,
                    extra=extra,
                    descriptors=() if attachment is None else (attachment.fileno(),),
                )
                if attachment is not None:
                    attachment.close()
                return
        limit = min(MAX_ERROR_BYTES, self._options.max_message_bytes)
        data = pack_error(error, label_of(order), limit=limit)
        self._channel.send(FrameType.ERROR, order[0], data, kind=replace, extra=extra)

    def _pack(self, order: Order, value: object) -> tuple[int, bytes, Attachment | None]:
        """Return the value of a job as bytes.

        Raises:
            ResultTooLargeError: it is larger than the pool lets through.
            Exception: what `pack_result` raises.
        """
        options = self._options
        kind, data, attachment = pack_result(
            value, options.threshold, label=label_of(order), data_only=options.data_only
        )
        size = len(data) + (0 if attachment is None else attachment.size)
        if size <= options.max_message_bytes:
            return kind, data, attachment
        if attachment is not None:
            attachment.close()
        raise ResultTooLargeError(label_of(order), size, options.max_message_bytes)

    def _is_unfit(self, key: int) -> bool:
        """Flush what the job printed; tell whether it left this process unfit for others."""
        flush_output()
        limit = self._options.max_rss_bytes
        if limit is not None and (self._growth.in_bytes() or 0) > limit:
            return True
        trust = self._trust
        seen = trust.get(key, 0)
        if seen >= _TRUSTED:
            return False
        if not self._streams.is_intact():
            return True
        if key:
            if len(trust) > 1024:  # noqa: PLR2004 - bounded, and rarely so many
                trust.clear()
            trust[key] = seen + 1
        return False


def _attachment(frame: Frame, carried: memoryview) -> Attachment | None:
    """Return what came beside the arguments, or behind them."""
    if frame.descriptors:
        return Attachment.from_fd(frame.descriptors[0])
    if frame.kind & CARRIED:
        return Attachment.from_bytes(carried)
    return None
