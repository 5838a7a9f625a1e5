"""Plain data that somebody has written, and that nobody trusts: see `plain`.

Everything is checked before it is used: letters, lengths, depth. No code runs but that of the
types of plain data themselves.
Threads: any.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import sys
from array import array
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process import plain_arrays
from runtime.backends.process.plain import BESIDE, DEEPEST, IN_BAND
from runtime.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("decode",)

_I64: Final = Struct("<q")
_U64: Final = Struct("<Q")
_F64: Final = Struct("<d")
_COMPLEX: Final = Struct("<dd")
_SPAN: Final = Struct("<qqq")


def decode(data: bytes | bytearray | memoryview, buffers: Sequence[memoryview] = ()) -> Any:  # noqa: ANN401 - Any: data
    """Return the value that *data* stands for.

    Raises:
        ProtocolError: *data* is not what `encode` makes.
    """
    with memoryview(data) as view:
        decoder = _Decoder(view, buffers)
        try:
            value = decoder.take(0)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            ImportError,
            RecursionError,
        ) as error:
            raise ProtocolError(f"plain data came that makes no sense: {error}") from None
        if decoder.at != len(view):
            raise ProtocolError(f"plain data came with {len(view) - decoder.at} byte(s) too many")
        return value


class _Decoder:
    """Reads one value."""

    __slots__ = ("_buffers", "_view", "at")

    def __init__(self, view: memoryview, buffers: Sequence[memoryview]) -> None:
        self._view = view
        self._buffers = buffers
        self.at = 0

    def take(self, depth: int) -> Any:  # noqa: ANN401 - Any: data
        """Read one value, which is so deep inside."""
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        letter = self.fixed(1)[0]
        return _TAKE[letter](self, depth)

    def fixed(self, size: int) -> memoryview:
        """Read *size* bytes."""
        start, self.at = self.at, self.at + size
        if self.at > len(self._view):
            raise ValueError("it ends too early")
        return self._view[start : self.at]

    def number(self) -> int:
        """Read a length or an index."""
        value: int = _U64.unpack(self.fixed(8))[0]
        return value

    def items(self, depth: int) -> list[Any]:  # Any: data
        """Read the values of a container; each has at least one byte, so none is made too large."""
        count = self.number()
        if count > len(self._view) - self.at:
            raise ValueError("it ends too early")
        return [self.take(depth + 1) for _ in range(count)]

    def raw(self) -> memoryview:
        """Read where bytes are."""
        place, number = bytes(self.fixed(1)), self.number()
        if place == BESIDE:
            return self._buffers[number]
        if place != IN_BAND:
            raise ValueError("bytes are nowhere")
        return self.fixed(number)

    def kept(self) -> memoryview:
        """Read where bytes are, for a value that goes on using them."""
        raw = self.raw()
        return memoryview(bytearray(raw)) if raw.obj is self._view.obj else raw


def _take_dict(source: _Decoder, depth: int) -> dict[Any, Any]:  # Any: data
    count = source.number()
    return {source.take(depth + 1): source.take(depth + 1) for _ in range(count)}


def _take_values(source: _Decoder, _: int) -> array[Any]:  # Any: numbers
    typecode = bytes(source.fixed(1)).decode("ascii")
    if typecode not in plain_arrays.TYPECODES:
        raise ValueError(f"there are no arrays of {typecode!r}")
    values: array[Any] = array(typecode)  # Any: numbers
    values.frombytes(source.raw())
    return values


def _take_numbers(typecode: str) -> Callable[[_Decoder, int], list[Any]]:  # Any: numbers
    def take(source: _Decoder, _: int) -> list[Any]:  # Any: numbers
        values: array[Any] = array(typecode)  # Any: numbers
        values.frombytes(source.raw())
        if sys.byteorder == "big":  # pragma: no cover - rare
            values.byteswap()
        return values.tolist()

    return take


def _take_time(kind: type[datetime | time]) -> Callable[[_Decoder, int], datetime | time]:
    def take(source: _Decoder, _: int) -> datetime | time:
        fold = source.fixed(1)[0]
        return kind.fromisoformat(bytes(source.raw()).decode("ascii")).replace(fold=fold)

    return take


def _take_array(source: _Decoder, _: int) -> object:
    description = source.take(DEEPEST - 10)
    return plain_arrays.rebuilt(description, source.take(DEEPEST - 10), source.kept())


_TAKE: Final[dict[int, Callable[[_Decoder, int], Any]]] = {  # Any: data
    ord("N"): lambda _source, _: None,
    ord("T"): lambda _source, _: True,
    ord("F"): lambda _source, _: False,
    ord("i"): lambda source, _: _I64.unpack(source.fixed(8))[0],
    ord("I"): lambda source, _: int.from_bytes(source.raw(), "little", signed=True),
    ord("f"): lambda source, _: _F64.unpack(source.fixed(8))[0],
    ord("c"): lambda source, _: complex(*_COMPLEX.unpack(source.fixed(16))),
    ord("s"): lambda source, _: str(source.raw(), "utf-8", "surrogatepass"),
    ord("b"): lambda source, _: bytes(source.raw()),
    ord("B"): lambda source, _: bytearray(source.raw()),
    ord("m"): lambda source, _: source.kept(),
    ord("a"): _take_values,
    ord("l"): lambda source, depth: source.items(depth),
    ord("D"): _take_numbers("d"),
    ord("Q"): _take_numbers("q"),
    ord("d"): _take_dict,
    ord("t"): lambda source, depth: tuple(source.items(depth)),
    ord("S"): lambda source, depth: set(source.items(depth)),
    ord("Z"): lambda source, depth: frozenset(source.items(depth)),
    ord("Y"): _take_time(datetime),
    ord("y"): _take_time(time),
    ord("x"): lambda source, _: date.fromisoformat(bytes(source.fixed(10)).decode("ascii")),
    ord("e"): lambda source, _: timedelta(*_SPAN.unpack(source.fixed(24))),
    ord("E"): lambda source, _: Decimal(bytes(source.raw()).decode("ascii")),
    ord("n"): _take_array,
}
