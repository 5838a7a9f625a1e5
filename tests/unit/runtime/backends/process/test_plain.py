"""Plain data: what comes out is what went in, and whatever comes in runs no code."""

from __future__ import annotations

import random
from array import array
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.plain import NotPlainError, encode
from runtime.backends.process.plain_reading import decode
from runtime.backends.process.sealed_files import is_supported
from runtime.errors import ProtocolError

LIMIT = 1 << 16
ZONE = timezone(timedelta(hours=2, minutes=30))
VALUES: list[object] = [
    None, True, False, 0, -1, 1 << 62, -(1 << 63), 1 << 63, -(1 << 200), 1.5, -0.0, float("inf"),
    2 + 3j, "", "text", "\u20ac\ud800", b"", b"bytes", bytearray(b"more"), memoryview(b"view"),
    [], [1, 2, 3], [1.5, 2.5], [1, 2.5], [1 << 70, 1], [True, 1], (), (1, (2, [3])), {}, {"a": 1},
    {2: [3]},
    set(), {1, "a"}, frozenset({(1, 2)}), array("i", [1, 2]), array("d", [1.5]), array("B"),
    date(2024, 2, 29), datetime(2024, 1, 2, 3, 4, 5, 6), datetime(2024, 1, 2, tzinfo=UTC),
    datetime(2024, 1, 2, tzinfo=ZONE, fold=1), time(1, 2, 3), time(1, tzinfo=ZONE),
    timedelta(days=-3, seconds=5, microseconds=7), Decimal("1.50"), Decimal("NaN"),
    Decimal("-1E+9"),
]  # fmt: skip

TEXTS = st.text() | st.binary()
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.lists(inner).map(tuple)
    ),
    max_leaves=30,
)


def back(value: object, limit: int = LIMIT) -> object:
    """Return *value* after a journey."""
    writer = AttachmentWriter() if is_supported() else None
    data = encode(value, writer, limit)
    attachment = None if writer is None else writer.finish()
    return decode(data, () if attachment is None else attachment.open().buffers)


@pytest.mark.parametrize("limit", [LIMIT, 1])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back(value: object, limit: int) -> None:
    """Equal, and of the very same type; with their bytes in band or beside."""
    copy = back(value, limit)

    assert repr(copy) == repr(value) or copy == value
    assert type(copy) is type(value)


@given(anything)
def test_any_tree_comes_back(value: object) -> None:
    """Whatever is in what."""
    copy = back(value)

    assert copy == value
    assert repr(copy) == repr(value)


class Colour(IntEnum):
    """A number, and more."""

    RED = 1


class Zone(tzinfo):
    """Code of the user."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        """Run it."""
        return timedelta(hours=0 if when is None else 1)

    def dst(self, when: datetime | None) -> timedelta:
        """Run it, too."""
        return self.utcoffset(when)

    def tzname(self, when: datetime | None) -> str:
        """Run it, too."""
        return str(when)


Point = namedtuple("Point", "x y")  # noqa: PYI024 - that is what it is about

REFUSED: list[tuple[object, str]] = [
    (object(), "result: builtins.object"),
    ([1, object()], "result[1]: builtins.object"),
    ({"a": (object(),)}, "result['a'][0]: builtins.object"),
    ({(1,): object()}, "result[...]: builtins.object"),
    ({object(): 1}, "result[...]: builtins.object"),
    (Colour.RED, f"result: {__name__}.Colour"),
    (Point(1, 2), f"result: {__name__}.Point"),
    (OrderedDict(), "result: collections.OrderedDict"),
    (len, "result: builtins.builtin_function_or_method"),
    (int, "result: builtins.type"),
    (datetime(2024, 1, 1, tzinfo=Zone()), "result: a time in the zone Zone"),
]


@pytest.mark.parametrize(("value", "way"), REFUSED, ids=lambda value: str(value)[:30])
def test_everything_else_is_refused_with_the_way_to_it(value: object, way: str) -> None:
    """A subclass comes with code, too."""
    with pytest.raises(NotPlainError) as caught:
        encode(value, None, LIMIT)

    assert caught.value.path("result") == way


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from 3.13 on
def test_arrays_of_characters_are_refused() -> None:
    """Their size depends on the system."""
    with pytest.raises(NotPlainError, match="array of 'u'"):
        encode(array("u", "a"), None, LIMIT)


@pytest.mark.parametrize("kind", ["list", "dict", "circle"])
def test_depth_is_limited(kind: str) -> None:
    """Circles end there, too."""
    value: object = []
    for _ in range(150):
        value = [value] if kind == "list" else {"a": value}
    if kind == "circle":
        value = circle = [1]
        circle.append(circle)  # type: ignore[arg-type] # a circle has no type

    with pytest.raises(NotPlainError, match="nested deeper"):
        encode(value, None, LIMIT)


def n(count: int) -> bytes:
    return pack("<Q", count)


I4 = b"ns\0" + n(3) + b"<i4"
LIES = {
    "nothing": b"",
    "unknown letter": b"?",
    "pickle": b"\x80\x05N.",
    "too short": b"i123",
    "too long": b"NN",
    "more items than bytes": b"l" + n(1 << 60),
    "more keys than bytes": b"d" + n(1 << 60),
    "text longer than all": b"s\0" + n(1 << 60),
    "no text": b"s\0" + n(1) + b"\xff",
    "nowhere": b"b\2" + n(0),
    "no such buffer": b"b\1" + n(7),
    "a list as a key": b"d" + n(1) + b"l" + n(0) + b"N",
    "a list in a set": b"S" + n(1) + b"l" + n(0),
    "no such array": b"au\0" + n(0),
    "half a number": b"ai\0" + n(3) + b"123",
    "half a float": b"D\0" + n(3) + b"123",
    "no date": b"x2024-99-99",
    "no time": b"Y\0\0" + n(1) + b"x",
    "no fold": b"Y\7\0" + n(10) + b"2024-01-01",
    "no decimal": b"E\0" + n(1) + b"x",
    "too many days": b"e" + n(1 << 60) + n(0) + n(0),
    "too deep": (b"l" + n(1)) * 150 + b"N",
    "array of objects": b"ns\0" + n(2) + b"|O" + b"t" + n(0) + b"b\0" + n(0),
    "array of nonsense": b"ns\0" + n(9) + b"os.system" + b"N\0" + n(0),
    "array of the wrong size": I4 + b"t" + n(1) + b"i" + n(9) + b"\0" + n(4) + b"1234",
    "array of negative size": I4 + b"t" + n(1) + b"i" + b"\xff" * 8 + b"\0" + n(4) + b"1234",
    "array without a shape": I4 + b"T\0" + n(4) + b"1234",
    "array of nothing": b"ns\0" + n(3) + b"<V0" + b"t" + n(0) + b"\0" + n(0),
}  # fmt: skip


@pytest.mark.parametrize("data", LIES.values(), ids=LIES.keys())
def test_lies_are_refused(data: bytes) -> None:
    """With one error, and before anything is made of them."""
    with pytest.raises(ProtocolError):
        decode(data)


def test_broken_data_is_refused_or_read() -> None:
    """Whatever is changed: no other error."""
    chance = random.Random(3)
    good = encode([value for value in VALUES if type(value) is not memoryview], None, LIMIT)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            decode(data[: chance.choice([len(data), chance.randrange(len(data))])])
        except ProtocolError:
            continue


def test_what_is_read_is_not_tied_to_the_frame() -> None:
    """The buffer that it came in is used again."""
    frame = bytearray(encode([b"abc", memoryview(b"def"), "ghi"], None, LIMIT))

    values = decode(frame)
    frame[:] = bytes(len(frame))

    assert values == [b"abc", memoryview(b"def"), "ghi"]
