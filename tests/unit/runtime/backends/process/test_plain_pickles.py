"""Pickles that are read with care."""

from __future__ import annotations

import collections
import os
import pickle
import random
import tracemalloc

import pytest

from runtime.backends.process.plain_pickles import load_plain


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        255,
        65536,
        2**31,
        2**70,
        -(2**4000),
        1.5,
        "text",
        "ä" * 300,
        "\udc80",
        "x" * 100_000,
        b"",
        b"x" * 300,
        b"x" * 100_000,
        (),
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        [],
        [1],
        list(range(3000)),
        {},
        {"a": 1},
        {str(number): [number] for number in range(2000)},
        [("same",) * 2] * 300,
        [str(number) for number in range(300)] * 2,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_plain_data_is_read(value: object, protocol: int) -> None:
    """Everything that our own side sends."""
    assert load_plain(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize(
    "value",
    [
        os.system,
        int,
        {1},
        1j,
        bytearray(b"x"),
        collections.OrderedDict(),
        ValueError("x"),
        range(3),
    ],
    ids=repr,
)
def test_anything_else_is_refused_before_it_is_looked_up(value: object) -> None:
    """An import alone runs code."""
    with pytest.raises(pickle.UnpicklingError, match="makes no plain data"):
        load_plain(pickle.dumps(value, 5))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05Nr\xff\xff\xff\xff.",  # LONG_BINPUT
        b"\x80\x05N\x94q\xff.",  # BINPUT
        b"\x80\x05B\xff\xff\xff\xff.",  # BINBYTES
        b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # BINBYTES8
        b"\x80\x05\x8d\xff\xff\xff\xff\x0f\x00\x00\x00.",  # BINUNICODE8
        b"\x80\x05\x96\xff\xff\xff\xff\x0f\x00\x00\x00.",  # BYTEARRAY8
        b"\x80\x05\x8b\xff\xff\xff\x7f.",  # LONG4
        b"\x80\x05\x95\xff\xff\xff\xff\x0f\x00\x00\x00N.",  # FRAME
        b"\x80\x05I" + b"9" * 100 + b"\n.",  # INT, by digits
        b"\x80\x05\x82\x01.",  # EXT1
        b"\x80\x05P1\n.",  # PERSID
    ],
)
def test_nothing_is_allocated_for_a_length_that_is_a_lie(data: bytes) -> None:
    """A few bytes could fill the memory of the machine."""
    tracemalloc.start()
    try:
        with pytest.raises(pickle.UnpicklingError):
            load_plain(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_damaged_pickles_raise_or_give_plain_data() -> None:
    """Whichever bytes they are."""
    chance = random.Random(7)
    whole = pickle.dumps(("text", [1, 2.5, None], {"key": (b"x" * 300, 2**70)}), 5)
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            value = load_plain(bytes(data))
        except Exception:  # noqa: BLE001 - of any type, as pickle does
            continue
        assert type(value) in {tuple, str, list, int, float, bytes, dict, bool, type(None)}
