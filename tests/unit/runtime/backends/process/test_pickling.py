"""Objects as bytes and back: by reference, by value, with what is large beside them."""

from __future__ import annotations

import pickle
import sys
from array import array
from typing import TYPE_CHECKING, Any, Literal

import pytest

from runtime.backends.process import pickling
from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.pickling import SplicedReader, dump, load
from runtime.backends.process.sealed_files import is_supported
from tests.unit.runtime.backends.process.packing_here import add

if TYPE_CHECKING:
    from collections.abc import Callable

needs_files = pytest.mark.skipif(not is_supported(), reason="needs files in memory")
LARGE = 1 << 17
LIMIT = 1 << 16


def back(value: object) -> tuple[Any, int]:  # Any: of the type of *value*
    """Return *value* after a journey with an attachment, and how many bytes were in band."""
    writer = AttachmentWriter()
    data = dump(value, writer, LIMIT)
    attachment = writer.finish()
    if attachment is None:
        return load(data), len(data)
    contents = attachment.open()
    return load(data, contents.buffers, contents.splices), len(data)


LARGE_VALUES: list[object] = [
    b"x" * LARGE,
    bytearray(b"y" * LARGE),
    "z" * LARGE,
    "\u20ac" * LARGE,
    array("d", range(LARGE // 8)),
    array("q", range(LARGE // 8)),
    [b"x" * LARGE, {"deep": [("inside", bytearray(LARGE))]}, b"x" * LARGE],
    ["some", b"x" * LARGE, "between", "t" * LARGE, b"the end"],
    (b"x" * LIMIT, b"x" * (LIMIT - 1)),
]


@needs_files
@pytest.mark.parametrize("value", LARGE_VALUES, ids=lambda value: type(value).__name__)
def test_large_values_go_beside_and_come_back_equal(value: object) -> None:
    """However deep inside, and of the very same type."""
    copy, in_band = back(value)

    assert copy == value
    assert type(copy) is type(value)
    assert in_band < LIMIT + 1000


@needs_files
def test_the_same_object_twice_is_one_object_there() -> None:
    """As pickle has it."""
    data = b"x" * LARGE

    first, second = back([data, data])[0]

    assert first is second


@pytest.mark.parametrize("size", [8, LARGE])
@pytest.mark.parametrize("layout", ["B", "i", "d"])
def test_views_travel(layout: Literal["B", "i", "d"], size: int) -> None:
    """Pickle itself does not take them."""
    data = bytearray(range(128)) * (size // 128 + 1)  # no NaN

    copy = back(memoryview(data).cast("B")[: size - size % 8].cast(layout))[0]

    assert isinstance(copy, memoryview)
    assert copy == memoryview(data)[: size - size % 8].cast(layout)
    assert not copy.readonly


def test_views_keep_shape_and_being_read_only() -> None:
    """Even where they are not contiguous."""
    matrix = memoryview(bytes(range(24))).cast("B", (4, 6))

    copy, thinned = back([matrix, memoryview(bytes(range(10)))[::2]])[0]

    assert (copy.shape, copy.tolist()) == (matrix.shape, matrix.tolist())
    assert copy.readonly
    assert thinned.tolist() == [0, 2, 4, 6, 8]


def test_without_a_writer_all_is_in_band() -> None:
    """Where memory or descriptors are refused."""
    for value in LARGE_VALUES:
        assert load(dump(value, None, LIMIT)) == value


def test_what_is_in_band_can_be_read_without_us() -> None:
    """It is pickle."""
    assert pickle.loads(dump({"a": [1, array("i", [2])]}, None, LIMIT)) == {
        "a": [1, array("i", [2])]
    }


def test_importable_functions_go_by_reference() -> None:
    """Plain pickle does all of it."""
    data = dump([add, len, str.upper], None, LIMIT)

    assert len(data) < 200
    assert load(data) == [add, len, str.upper]


def test_lambdas_and_closures_go_by_value() -> None:
    """Wherever they are inside."""
    factor = 3

    copy = load(dump({"f": [lambda x: x * factor]}, None, LIMIT))

    assert copy["f"][0](5) == 15


def test_what_belongs_to_main_goes_by_value() -> None:
    """A child has another `__main__`."""
    namespace: dict[str, Any] = {"__name__": "__main__"}  # Any: a namespace
    exec("class Point:\n    x = 5\n\ndef get():\n    return Point().x", namespace)
    sys.modules["__main__"].Point = namespace["Point"]  # type: ignore[attr-defined] # as in a script
    try:
        data = dump([namespace["Point"](), namespace["get"]], None, LIMIT)
    finally:
        del sys.modules["__main__"].Point

    point, get = load(data)

    assert (point.x, get()) == (5, 5)


def test_a_text_that_names_main_goes_as_the_text_that_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The path of a package's ``__main__.py`` refers to nothing, and costs no detour."""

    def refuse() -> None:
        raise AssertionError("by value")

    monkeypatch.setattr(pickling, "cloud_pickler", refuse)

    assert load(dump(("asyncio/__main__.py", b"__main__"), None, LIMIT)) == (
        "asyncio/__main__.py",
        b"__main__",
    )


def test_modules_by_value_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cloudpickle.register_pickle_by_value` is for modules that children cannot import."""
    import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - it is not loaded by others

    module = sys.modules[add.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        data = dump(add, None, LIMIT)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(sys.modules, module.__name__)

    assert load(data)(1) == 2


def test_a_reader_of_pieces_reads_like_a_file() -> None:
    """However it is asked."""
    whole = b"first\nsecond third"
    pieces = [(6, memoryview(b"second")), (7, memoryview(b"th"))]

    def reader() -> SplicedReader:
        return SplicedReader(b"first\n ird", pieces)

    ways: list[Callable[[SplicedReader], bytes]] = [
        lambda file: file.read(100),
        lambda file: b"".join(file.read(1) for _ in range(30)),
        lambda file: b"".join(file.read(4) for _ in range(10)),
        lambda file: file.readline() + file.readline() + file.readline(),
    ]
    for way in ways:
        assert way(reader()) == whole
    target = bytearray(30)
    assert reader().readinto(target) == len(whole)
    assert target[: len(whole)] == whole
