"""Plain data as bytes: no pickle, so that reading it can run no code, whoever has written it.

Numbers, texts, bytes, dates, lists, tuples, dicts, sets, `array.array`, and numpy's arrays and
numbers that hold no objects; of exactly these types. Each value is one letter and what
belongs to it. `plain_reading` is the other half.
Threads: any.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import sys
from array import array
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process import plain_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.backends.process.buffers import AttachmentWriter

__all__ = ("BESIDE", "DEEPEST", "INT_LIMIT", "IN_BAND", "NotPlainError", "encode")

DEEPEST: Final = 100  # levels of containers
INT_LIMIT: Final = 1 << 63  # from here on an integer is written as text is
IN_BAND: Final = b"\0"  # bytes follow
BESIDE: Final = b"\1"  # the number of an attachment's buffer follows
_SMALL: Final = Struct("<cq")
_COUNT: Final = Struct("<cQ")
_FLOAT: Final = Struct("<cd")
_COMPLEX: Final = Struct("<cdd")
_SPAN: Final = Struct("<cqqq")


class NotPlainError(Exception):
    """Something is no plain data; ``steps`` lead to it, the last one first."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.steps: list[str] = []

    def path(self, name: str) -> str:
        """Return the way from *name*, and what is there."""
        return f"{name}{''.join(reversed(self.steps))}: {self.what}"


def encode(value: object, writer: AttachmentWriter | None, threshold: int) -> bytes:
    """Return *value* as bytes; buffers of at least *threshold* bytes go to *writer*.

    Raises:
        NotPlainError: there is something else in it.
        AttachmentRefusedError: the writer failed.
    """
    encoder = _Encoder(writer, threshold)
    encoder.put(value, 0)
    return b"".join(encoder.parts)


class _Encoder:
    """Writes one value."""

    __slots__ = ("_beside", "_threshold", "_writer", "parts")

    def __init__(self, writer: AttachmentWriter | None, threshold: int) -> None:
        self.parts: list[bytes] = []
        self._writer = writer
        self._threshold = threshold
        self._beside = 0  # how many buffers went to the writer

    def put(self, value: Any, depth: int) -> None:  # noqa: ANN401 - Any: looked at by its type
        """Write *value*, which is so deep inside."""
        put = _PUT.get(type(value))
        if put is not None:
            put(self, value, depth)
        elif not self._put_array(value):
            kind = type(value)
            raise NotPlainError(f"{kind.__module__}.{kind.__qualname__}")

    def put_data(self, data: bytes | bytearray | memoryview) -> None:
        """Write bytes, or where they are."""
        with memoryview(data) as view, view.cast("B") as raw:
            if self._writer is not None and raw.nbytes >= self._threshold:
                self._writer.add(raw)
                self.parts.append(_COUNT.pack(BESIDE, self._beside))
                self._beside += 1
            else:
                self.parts += (_COUNT.pack(IN_BAND, raw.nbytes), bytes(raw))

    def put_items(self, letter: bytes, values: Iterable[object], count: int, depth: int) -> None:
        """Write the values of a container."""
        if depth >= DEEPEST:
            raise NotPlainError(f"nested deeper than {DEEPEST} levels")
        self.parts.append(_COUNT.pack(letter, count))
        index = 0
        try:
            for value in values:
                self.put(value, depth + 1)
                index += 1
        except NotPlainError as error:
            error.steps.append(f"[{index}]")
            raise

    def _put_array(self, value: Any) -> bool:  # noqa: ANN401 - Any: see `put`
        layout = plain_arrays.layout_of(value)
        if layout is None:
            return False
        description, shape, raw = layout
        self.parts.append(b"n")
        self.put(description, DEEPEST - 10)  # a description is never deep
        self.put(shape, DEEPEST - 10)
        self.put_data(raw)
        return True


def _put_int(to: _Encoder, value: int, _: int) -> None:
    if -INT_LIMIT <= value < INT_LIMIT:
        to.parts.append(_SMALL.pack(b"i", value))
        return
    to.parts.append(b"I")
    to.put_data(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _put_text(to: _Encoder, value: str, _: int) -> None:
    to.parts.append(b"s")
    to.put_data(value.encode("utf-8", "surrogatepass"))


def _put_list(to: _Encoder, value: list[Any], depth: int) -> None:  # Any: see `put`
    kinds = set(map(type, value))
    if kinds == {float}:
        to.parts.append(b"D")
        to.put_data(_numbers("d", value))
    elif kinds == {int} and min(value) >= -INT_LIMIT and max(value) < INT_LIMIT:
        to.parts.append(b"Q")
        to.put_data(_numbers("q", value))
    else:
        to.put_items(b"l", value, len(value), depth)


def _put_dict(to: _Encoder, value: dict[Any, Any], depth: int) -> None:  # Any: see `put`
    if depth >= DEEPEST:
        raise NotPlainError(f"nested deeper than {DEEPEST} levels")
    to.parts.append(_COUNT.pack(b"d", len(value)))
    for key, item in value.items():
        try:
            to.put(key, depth + 1)
            to.put(item, depth + 1)
        except NotPlainError as error:
            error.steps.append(f"[{key!r}]" if type(key) in {str, int} else "[...]")
            raise


def _put_datetime(to: _Encoder, value: datetime | time, _: int) -> None:
    if type(value.tzinfo) not in {type(None), timezone}:
        raise NotPlainError(f"a time in the zone {type(value.tzinfo).__qualname__}")
    letter = b"Y" if type(value) is datetime else b"y"
    to.parts.append(letter + bytes([value.fold]))
    to.put_data(value.isoformat().encode())


def _put_decimal(to: _Encoder, value: Decimal, _: int) -> None:
    to.parts.append(b"E")
    to.put_data(str(value).encode())


def _put_bytes(letter: bytes) -> Callable[[_Encoder, Any, int], None]:  # Any: see `put`
    def put(to: _Encoder, value: bytes | bytearray, _: int) -> None:
        to.parts.append(letter)
        to.put_data(value)

    return put


def _put_container(letter: bytes) -> Callable[[_Encoder, Any, int], None]:  # Any: see `put`
    def put(to: _Encoder, value: tuple[Any, ...], depth: int) -> None:  # Any: see `put`
        to.put_items(letter, value, len(value), depth)

    return put


def _put_values(to: _Encoder, value: array[Any], _: int) -> None:  # Any: numbers
    if value.typecode not in plain_arrays.TYPECODES:
        raise NotPlainError(f"array.array of {value.typecode!r}")
    to.parts.append(b"a" + value.typecode.encode())
    to.put_data(memoryview(value))


def _put_view(to: _Encoder, value: memoryview, _: int) -> None:
    to.parts.append(b"m")
    to.put_data(value if value.c_contiguous else value.tobytes())


def _numbers(typecode: str, values: list[Any]) -> memoryview:  # Any: numbers
    numbers = array(typecode, values)
    if sys.byteorder == "big":  # pragma: no cover - rare
        numbers.byteswap()
    return memoryview(numbers)


_PUT: Final[dict[type, Callable[[_Encoder, Any, int], None]]] = {  # Any: each knows its type
    type(None): lambda to, _value, _: to.parts.append(b"N"),
    bool: lambda to, value, _: to.parts.append(b"T" if value else b"F"),
    int: _put_int,
    float: lambda to, value, _: to.parts.append(_FLOAT.pack(b"f", value)),
    complex: lambda to, value, _: to.parts.append(_COMPLEX.pack(b"c", value.real, value.imag)),
    str: _put_text,
    bytes: _put_bytes(b"b"),
    bytearray: _put_bytes(b"B"),
    memoryview: _put_view,
    array: _put_values,
    list: _put_list,
    dict: _put_dict,
    tuple: _put_container(b"t"),
    set: _put_container(b"S"),
    frozenset: _put_container(b"Z"),
    datetime: _put_datetime,
    time: _put_datetime,
    date: lambda to, value, _: to.parts.append(b"x" + value.isoformat().encode()),
    timedelta: lambda to, value, _: to.parts.append(
        _SPAN.pack(b"e", value.days, value.seconds, value.microseconds)
    ),
    Decimal: _put_decimal,
}
