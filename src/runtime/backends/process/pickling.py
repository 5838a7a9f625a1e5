"""Objects as bytes: pickle's protocol 5, by reference where possible, by value otherwise.

Plain pickle comes first. What it refuses, and whatever belongs to ``__main__`` (a script, a
notebook), is pickled by `cloudpickle`, which is imported when it is first needed.
Large things go into an attachment: what offers its buffer to protocol 5 (numpy's arrays,
`array.array`, `memoryview`) as it is, and every `bytes`, `bytearray` or text that is large,
however deep inside: the pickler hands these to its file in one piece, and that piece is put aside.
Threads: any.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import sys
from array import array
from collections import ChainMap
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from runtime.backends.process.caches import CACHED, reduce_cache
from runtime.backends.process.freezing import modules_by_value
from runtime.backends.process.variables import reduce_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.backends.process.buffers import AttachmentWriter

__all__ = (
    "PROTOCOL",
    "SplicedReader",
    "cloud_pickler",
    "dump",
    "load",
    "rebuild_array",
    "rebuild_view",
)

# Any: a callable and arguments, as pickle takes them; or the name of something to import.
_Reduced: TypeAlias = "tuple[Any, ...] | str"

PROTOCOL: Final = 5
_NEVER: Final = sys.maxsize
# In every plain pickle that refers to something of it: the module's name, as a text of eight bytes.
_BY_VALUE: Final = b"\x8c\x08__main__"
_PLAIN_REFUSALS: Final = (pickle.PicklingError, AttributeError, TypeError)


class _Dumps(Protocol):
    """As much of a pickler as is used here."""

    def dump(self, obj: object, /) -> object:
        """Write *obj* to the file."""
        ...


class _Sink:
    """The file of a pickler: small pieces are kept, large ones go to the attachment."""

    __slots__ = ("_parts", "_place", "_splice_from", "_threshold", "_writer")

    def __init__(self, writer: AttachmentWriter | None, threshold: int, *, splice: bool) -> None:
        self._parts: list[bytes] = []
        self._place = 0
        self._writer = writer
        self._threshold = threshold
        self._splice_from = threshold if splice and writer is not None else _NEVER

    def write(self, piece: bytes | memoryview | pickle.PickleBuffer) -> None:
        """Take the next piece of the stream; a `memoryview` is only valid during the call."""
        if isinstance(piece, pickle.PickleBuffer):
            piece = piece.raw()
        size = len(piece)
        if size >= self._splice_from and self._writer is not None:
            self._writer.add(piece, self._place)
            return
        self._parts.append(bytes(piece))
        self._place += size

    def take_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Return whether *buffer* is to be part of the stream."""
        if self._writer is None:
            return True
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        with raw:
            if raw.nbytes < self._threshold:
                return True
            self._writer.add(raw)
        return False

    def stream(self) -> bytes:
        """Return all that was kept."""
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)


def dump(
    obj: object,
    writer: AttachmentWriter | None,
    threshold: int,
    *,
    splice: bool = True,
    by_value: bool = False,
) -> bytes:
    """Return *obj* as bytes; what is large is added to *writer*.

    Args:
        obj: Anything.
        writer: For buffers; None: all of it is returned.
        threshold: From how many bytes on a buffer is large.
        splice: Whether large `bytes` and texts go to the writer, too: then only a
            `SplicedReader` can read the bytes.
        by_value: Leave out the attempt with plain pickle.

    Raises:
        AttachmentRefusedError: the writer failed.
        Exception: whatever pickling raised.
    """
    if not by_value and not modules_by_value():
        mark = (0, 0) if writer is None else writer.mark()
        sink = _Sink(writer, threshold, splice=splice)
        pickler = pickle.Pickler(sink, PROTOCOL, buffer_callback=sink.take_buffer)
        pickler.dispatch_table = {**copyreg.dispatch_table, **_REDUCERS}
        try:
            pickler.dump(obj)
        except _PLAIN_REFUSALS:
            pass
        else:
            stream = sink.stream()
            if _BY_VALUE not in stream:
                return stream
        if writer is not None:
            writer.rewind(mark)
    sink = _Sink(writer, threshold, splice=splice)
    cloud_pickler()(sink, PROTOCOL, buffer_callback=sink.take_buffer).dump(obj)
    return sink.stream()


def load(
    stream: bytes | bytearray | memoryview,
    buffers: Iterable[memoryview] = (),
    splices: Iterable[tuple[int, memoryview]] = (),
) -> Any:  # noqa: ANN401 - Any: whatever was pickled
    """Return the object that `dump` made *stream* of. Runs code of the object's classes."""
    splices = tuple(splices)
    if splices:
        return pickle.Unpickler(SplicedReader(stream, splices), buffers=buffers).load()
    return pickle.loads(stream, buffers=buffers)


class SplicedReader:
    """A file of a stream and of what belongs in it at some places."""

    __slots__ = ("_at", "_pieces")

    def __init__(
        self,
        stream: bytes | bytearray | memoryview,
        splices: Iterable[tuple[int, memoryview]],
    ) -> None:
        self._pieces: list[memoryview] = []  # what is left; the next one comes last
        self._at = 0  # how much of the next one was read
        view, start = memoryview(stream), 0
        for place, piece in splices:
            self._pieces += [view[start:place], piece]
            start = place
        self._pieces.append(view[start:])
        self._pieces.reverse()

    def readinto(self, target: bytearray | memoryview) -> int:
        """Fill *target*; return how much of it, less only at the end."""
        done = 0
        with memoryview(target) as view:
            while done < len(view) and self._pieces:
                piece = self._pieces[-1][self._at : self._at + len(view) - done]
                view[done : done + len(piece)] = piece
                done += len(piece)
                self._at += len(piece)
                self._drop_what_was_read()
        return done

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer only at the end."""
        if self._pieces and self._at + size < len(self._pieces[-1]):  # the usual case: one copy
            self._at += size
            return bytes(self._pieces[-1][self._at - size : self._at])
        data = bytearray(min(size, self._left()))
        self.readinto(data)
        return bytes(data)

    def readline(self) -> bytes:
        """Return all up to a line break, which it includes. Binary protocols have no lines."""
        line = bytearray()
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def _left(self) -> int:
        return sum(map(len, self._pieces)) - self._at

    def _drop_what_was_read(self) -> None:
        if self._at == len(self._pieces[-1]):
            self._pieces.pop()
            self._at = 0


@functools.cache
def cloud_pickler(
    persistent_id: Callable[[Any, object], object] | None = None,  # Any: the pickler
) -> Callable[..., _Dumps]:
    """Return the class of picklers by value, with a method of that name where one is given."""
    import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - for those who need it

    plain: type = cloudpickle.Pickler
    table = ChainMap(_REDUCERS, cloudpickle.Pickler.dispatch_table)
    members: dict[str, object] = {"dispatch_table": table}
    if persistent_id is not None:
        members["persistent_id"] = persistent_id
    return type(plain)("ByValue", (plain,), members)


# ---- types that pickle does not know, or copies more often than is needed ---------------------


def _reduce_view(view: memoryview) -> _Reduced:
    data: object = pickle.PickleBuffer(view) if view.c_contiguous else view.tobytes()
    return rebuild_view, (data, view.format, view.shape)


def rebuild_view(data: bytes | bytearray | memoryview, layout: str, shape: list[int]) -> memoryview:
    """Return *data* as the view that it was."""
    raw = memoryview(data).cast("B")
    return raw if layout == "B" and len(shape) == 1 else raw.cast(layout, shape)  # type: ignore[call-overload] # any format


def _reduce_array(values: array[Any]) -> _Reduced:  # Any: numbers, or characters
    return rebuild_array, (values.typecode, pickle.PickleBuffer(values))


def rebuild_array(typecode: str, data: bytes | memoryview) -> array[Any]:  # Any: see above
    """Return *data* as an array."""
    values: array[Any] = array(typecode)  # Any: see above
    values.frombytes(data)
    return values


_REDUCERS: Final[dict[type, Callable[[Any], _Reduced]]] = {  # Any: each one knows its type
    memoryview: _reduce_view,
    array: _reduce_array,
    ContextVar: reduce_variable,
    CACHED: reduce_cache,
}
