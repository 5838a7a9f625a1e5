"""Functions with a cache travel like those without one."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import pytest

from runtime.backends.process.freezing import is_importable, modules_by_value
from runtime.backends.process.pickling import dump, load
from runtime.backends.process.unpacking import KEPT, ReceivedFunction
from runtime.errors import UnpicklableError

MUCH = 1 << 30


@functools.cache
def importable(number: int) -> int:
    """Found by its name."""
    return number


def sent(value: object) -> Any:  # noqa: ANN401 - whatever it is
    """Return what arrives of *value*."""
    return load(dump(value, None, MUCH))


def test_one_that_can_be_imported_goes_by_its_name() -> None:
    """It is the same one there."""
    assert sent(importable) is importable


def test_one_that_cannot_gets_a_new_cache_with_the_same_settings() -> None:
    """What it has cached stays here; what was added to it goes along."""

    @functools.lru_cache(maxsize=7, typed=True)
    def local(number: int) -> int:
        return number + 1

    vars(local)["extra"] = [1]
    local(1)

    there = sent(local)

    assert there is not local
    assert there.cache_parameters() == {"maxsize": 7, "typed": True}
    assert there.cache_info().currsize == 0
    assert (there(1), there.extra, there.__name__) == (2, [1], "local")


def test_a_recursive_one_holds_itself_there_too() -> None:
    """So that what it caches is found again."""

    @functools.cache
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    there = sent(fibonacci)

    assert there(60) == 1548008755920
    assert there.cache_info().currsize == 61


def test_cloudpickle_may_be_on_its_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread imports it: its module is there, and empty."""
    monkeypatch.setitem(sys.modules, "cloudpickle", ModuleType("cloudpickle"))

    assert modules_by_value() == frozenset()
    assert is_importable(is_importable)


def _refuse() -> None:
    raise ArithmeticError


class _Unloadable:
    def __reduce__(self) -> object:  # type: ignore[override]  # as pickle has it
        return _refuse, ()


@pytest.mark.parametrize("part", ["function", "arguments"])
def test_what_cannot_be_rebuilt_is_told_with_its_job(part: str) -> None:
    """Who reads the message knows which one it was."""
    bad = dump(((_Unloadable(),), {}), None, MUCH)
    good = dump(len, None, MUCH)
    received = ReceivedFunction(KEPT + (bad if part == "function" else good))

    with pytest.raises(UnpicklableError, match=rf"^worker 7 'x': its {part} cannot be rebuilt"):
        received.bind(bad, None, (1, 7, "x", 0.0, 0))
