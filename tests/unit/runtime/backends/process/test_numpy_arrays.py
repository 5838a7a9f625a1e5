"""Numpy's arrays between processes: equal, writable, private, not copied on arrival."""

from __future__ import annotations

import functools
import gc
import sys
from typing import Any

import pytest

from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.packing import Packer
from runtime.backends.process.plain import NotPlainError, encode
from runtime.backends.process.plain_reading import decode
from runtime.backends.process.results import pack_result, unpack_result
from runtime.backends.process.sealed_files import is_supported
from tests.unit.runtime.backends.process.packing_here import Job, There, same

np: Any = pytest.importorskip("numpy", reason="numpy is not installed")  # Any: it may be missing

LARGE = 1 << 16
LIMIT = 1 << 16
ARRAYS = [
    np.arange(LARGE),
    np.asfortranarray(np.arange(LARGE, dtype="f8").reshape(256, -1)),
    np.arange(LARGE)[::2],
    np.zeros((0, 3)),
    np.array(5.0),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array([True, False]),
    np.arange(3, dtype=">u2"),
    np.array([1 + 2j]),
    np.array(["2024-01-01", "NaT"], dtype="M8[ns]"),
    np.array([1, 2], dtype="m8[25us]"),
    np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8", (2,)), ("c", [("d", "S3")])]),
]
needs_files = pytest.mark.skipif(not is_supported(), reason="needs files in memory")


def are_equal(left: Any, right: Any) -> bool:  # noqa: ANN401 - arrays
    one, other = [(each.dtype, each.shape, each.tobytes()) for each in (left, right)]
    return bool(one == other)


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: str(value.dtype)[:20])
def test_arrays_travel_both_ways(value: Any) -> None:  # noqa: ANN401 - an array
    """As arguments, and as results of each mode."""
    argument = There().bind(Packer(LIMIT).pack(functools.partial(same, value), Job()))()[0]
    result = unpack_result(*pack_result(value, LIMIT))
    data = unpack_result(*pack_result(value, LIMIT, data_only=True), data_only=True)

    assert all(are_equal(copy, value) for copy in (argument, result, data))


@needs_files
@pytest.mark.parametrize("data_only", [True, False])
def test_large_arrays_are_mapped_and_writable(*, data_only: bool) -> None:
    """What is written stays here: two readers of one file do not see each other."""
    value = np.arange(LARGE)
    kind, data, attachment = pack_result(value, LIMIT, data_only=data_only)
    assert attachment is not None
    assert len(data) < 1000

    copy = unpack_result(kind, data, attachment)
    copy[0] = 7

    assert copy[0] == 7
    assert value[0] == 0
    assert not copy.flags.owndata


@needs_files
def test_a_function_may_hold_an_array() -> None:
    """It goes beside, and the function is sent anew each time: the array may have changed."""
    value, packer = np.arange(LARGE), Packer(LIMIT)
    func = lambda: int(value.sum())  # noqa: E731 - it is about lambdas

    first = packer.pack(func, Job())
    value[0] = 100
    second = packer.pack(func, Job())

    assert first.key == second.key == 0
    assert first.attachment is not None
    assert There().bind(second)() - There().bind(first)() == 100


@needs_files
def test_memory_is_given_back_with_the_array() -> None:
    """Nothing but views keeps it."""

    def mapped() -> int:
        with open("/proc/self/maps") as maps:
            return maps.read().count("vela-runtime")

    before = mapped()
    copy = unpack_result(*pack_result(np.arange(LARGE), LIMIT))
    part = copy[10:20]
    assert mapped() == before + 1
    del copy
    assert mapped() == before + 1

    del part
    gc.collect()

    assert mapped() == before


@pytest.mark.parametrize(
    "value", [np.float64(1.5), np.int8(3), np.bool_(1), np.datetime64(5, "D")], ids=repr
)
def test_numbers_are_plain_data(value: Any) -> None:  # noqa: ANN401 - a number
    """Of their own type."""
    copy = decode(encode([value], None, LIMIT))[0]

    assert copy == value
    assert type(copy) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, dtype=[("a", "O")]),
        np.ma.array([1]),
        np.dtype("i4"),
        np.zeros(2, dtype={"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 16}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_and_subclasses_are_no_plain_data(value: object) -> None:
    """They could run code, or would not be the same there."""
    with pytest.raises(NotPlainError):
        encode(value, None, LIMIT)


def test_no_numpy_is_loaded_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without it has no arrays."""
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(NotPlainError):
        encode(object(), None, LIMIT)


@needs_files
def test_plain_arrays_go_beside() -> None:
    """And come back as views of the file."""
    writer = AttachmentWriter()
    data = encode([np.arange(LARGE), 1], writer, LIMIT)
    attachment = writer.finish()
    assert attachment is not None

    copy = decode(data, attachment.open().buffers)[0]

    assert are_equal(copy, np.arange(LARGE))
    assert not copy.flags.owndata
