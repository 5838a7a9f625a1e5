"""What every module promises: a docstring, and an ``__all__`` that tells the truth."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import pytest

import runtime

if TYPE_CHECKING:
    from types import ModuleType

MODULES = ("runtime", *sorted(m.name for m in pkgutil.walk_packages(runtime.__path__, "runtime.")))


def shelf(name: str) -> tuple[int, str]:
    """Sort constants before classes before functions, as the linter does."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def own_names(module: ModuleType) -> set[str]:
    return {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    """The first line of a module is where a reader begins."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith((".", "?", "!"))


@pytest.mark.parametrize("name", MODULES)
def test_all_is_a_sorted_tuple_of_names_that_exist(name: str) -> None:
    """``from module import *`` works, and a name is found where the eye looks for it."""
    module = importlib.import_module(name)

    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(set(module.__all__), key=shelf)
    assert [key for key in module.__all__ if not hasattr(module, key)] == []


@pytest.mark.parametrize("name", MODULES)
def test_all_lists_the_public_classes_and_functions_of_the_module(name: str) -> None:
    """A name is public because somebody chose so, never by accident."""
    module = importlib.import_module(name)

    assert own_names(module) <= set(module.__all__)
