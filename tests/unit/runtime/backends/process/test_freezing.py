"""Which functions may be pickled once, and what makes it necessary to do it again."""

from __future__ import annotations

import gc
import math
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import freezing
from runtime.backends.process.freezing import is_importable, snapshot_of
from tests.unit.runtime.backends.process.packing_here import add

if TYPE_CHECKING:
    from collections.abc import Callable


def holding(value: object) -> Callable[[], object]:
    return lambda: value


def in_globals(source: str, **names: object) -> tuple[Any, dict[str, object]]:  # Any: a function
    """Return the function ``f`` that *source* defines, and its globals."""
    namespace: dict[str, object] = {"__name__": "__main__", **names}
    exec(source, namespace)
    return namespace["f"], namespace


COUNTER = """
def h():
    y = 1
    def g():
        nonlocal y
        y += 1
    return g
f = h()
"""
IMMUTABLE: list[Any] = [
    None,
    1,
    1.5,
    "text",
    b"bytes",
    (1, ("a",)),
    frozenset({1}),
    math,
    add,
    len,
    dict,
    ...,
]
MUTABLE: list[object] = [
    [],
    {},
    set(),
    bytearray(),
    object(),
    (1, []),
    (add,),
    types.ModuleType("made"),
]


@pytest.mark.parametrize("value", IMMUTABLE, ids=str)
def test_what_holds_immutable_things_is_frozen(value: object) -> None:
    """It can only change by a rebinding."""
    func = holding(value)

    snapshot = snapshot_of(func)

    assert snapshot is not None
    assert snapshot.holds()


@pytest.mark.parametrize("value", MUTABLE, ids=str)
def test_what_holds_mutable_things_is_not(value: object) -> None:
    """It may change, and nobody is told."""
    assert snapshot_of(holding(value)) is None


def test_a_class_that_travels_by_value_may_change() -> None:
    """Its attributes can be set at any time."""

    class Local:
        """Of this test."""

    assert snapshot_of(holding(Local)) is None


@pytest.mark.parametrize("value", [1, add, (1, 2)], ids=str)
def test_a_rebound_cell_is_seen(value: object) -> None:
    """Whatever was in it."""
    func = holding(value)
    snapshot = snapshot_of(func)
    assert snapshot is not None
    assert func.__closure__ is not None

    func.__closure__[0].cell_contents = "another"

    assert not snapshot.holds()


@pytest.mark.parametrize(
    "change",
    [
        lambda f, _: setattr(f, "__defaults__", (2,)),
        lambda f, _: setattr(f, "__kwdefaults__", {"a": 2}),
        lambda f, _: setattr(f, "__code__", (lambda a=1: a).__code__),
        lambda f, _: setattr(f, "attribute", 1),
        lambda _, names: names.update(limit=2),
        lambda _, names: names.pop("limit"),
        lambda _, names: names.update(len=max),
        lambda _, names: names.update(g=lambda: 3),
        lambda _, names: setattr(names["g"], "__defaults__", (3,)),
    ],
)
def test_every_change_is_seen(change: Callable[[Any, dict[str, Any]], object]) -> None:
    """In the function, in its globals, and in the functions that it calls."""
    source = "def g(): return 1\ndef f(a=1): return len((limit, g, math))"
    func, names = in_globals(source, limit=1, math=math)
    snapshot = snapshot_of(func)
    assert snapshot is not None
    assert snapshot.holds()

    change(func, names)

    assert not snapshot.holds()


def test_names_of_inner_functions_count() -> None:
    """They travel with it."""
    func, names = in_globals("def f(): return [lambda: limit for _ in range(3)]", limit=1)
    snapshot = snapshot_of(func)
    assert snapshot is not None

    names["limit"] = 2

    assert not snapshot.holds()


@pytest.mark.parametrize(
    ("source", "is_written"),
    [
        ("def f(): return x", False),
        ("def f():\n    global x\n    x = 2", True),
        ("def f():\n    global x\n    del x", True),
        ("def f():\n    def g():\n        global x\n        x = 2", True),
        ("def f():\n    y = 1\n    return lambda: y", True),  # not told from the next one
        ("def f():\n    y = 1\n    def g():\n        nonlocal y\n        y = 2\n    g()", True),
        ("def h():\n    y = 1\n    return lambda: y\nf = h()", False),
        (COUNTER, True),
    ],
)
def test_a_function_that_rebinds_is_told(source: str, is_written: bool) -> None:
    """One copy of it must not serve two jobs."""
    snapshot = snapshot_of(in_globals(source, x=1)[0])

    assert snapshot is not None
    assert snapshot.is_written is is_written


def test_a_snapshot_keeps_no_function_alive() -> None:
    """Functions that call each other would never go."""

    def make() -> tuple[object, Callable[[int], object]]:
        def even(number: int) -> object:
            return number == 0 or odd(number - 1)

        def odd(number: int) -> object:
            return number != 0 and even(number - 1)

        return snapshot_of(even), even

    snapshot, even = make()
    assert snapshot is not None
    gone = weakref.ref(even)
    del even
    gc.collect()

    assert gone() is None
    assert isinstance(snapshot, freezing.Snapshot)
    assert not snapshot.holds()


def test_too_many_functions_are_not_looked_at() -> None:
    """Then it is pickled each time."""
    source = "\n".join(f"def g{i}(): return g{i + 1}" for i in range(200)) + "\ndef f(): return g0"

    assert snapshot_of(in_globals(source, g200=None)[0]) is None


@pytest.mark.parametrize("value", [add, len, dict, math.sqrt, pytest.raises], ids=str)
def test_what_a_child_can_import(value: object) -> None:
    """By the name of its module and its own."""
    assert is_importable(value)


@pytest.mark.parametrize("value", [lambda: 1, holding(1), "text", "text".upper, 5], ids=str)
def test_what_a_child_cannot_import(value: object) -> None:
    """Lambdas, closures, methods of objects, objects."""
    assert not is_importable(value)
