"""Context variables: the same one wherever its name or its token comes to."""

from __future__ import annotations

import pickle
import sys
from contextvars import ContextVar
from types import ModuleType

import pytest

from runtime.backends.process import variables
from runtime.backends.process.pickling import dump, load
from runtime.backends.process.variables import named_variable, reduce_variable, variable_of_token

AT_HOME: ContextVar[int] = ContextVar("AT_HOME", default=1)


def test_one_of_a_module_travels_by_name() -> None:
    """The other process has it already."""
    make, facts = reduce_variable(AT_HOME)

    assert (make, facts) == (named_variable, (__name__, "AT_HOME"))
    assert load(dump(AT_HOME, None, 1000)) is AT_HOME
    assert reduce_variable(AT_HOME) == (make, facts)


def test_one_of_nobody_comes_home_as_itself() -> None:
    """A job may return it."""
    variable: ContextVar[int] = ContextVar("loose")

    assert load(dump([variable], None, 1000)) == [variable]


def test_there_it_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs that use it use the same one."""
    data = dump(ContextVar("loose", default=5), None, 1000)
    monkeypatch.setattr(variables, "_by_token", {})
    monkeypatch.setattr(variables, "_tokens", {})

    first, second = load(data), load(data)

    assert first is second
    assert (first.name, first.get()) == ("loose", 5)


def test_without_a_default_it_has_none() -> None:
    """None is a default, too."""
    variable = variable_of_token(b"a token of this test", "plain")

    assert variable_of_token(b"a token of this test", "plain") is variable
    with pytest.raises(LookupError):
        variable.get()


def test_a_name_that_is_something_else_there_is_refused() -> None:
    """Another version of the module, perhaps."""
    with pytest.raises(TypeError, match="no context variable"):
        named_variable("pickle", "dumps")


def test_main_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a module that was made at run time: a child cannot import it."""
    variable: ContextVar[int] = ContextVar("loose")
    script, made = ModuleType("__main__"), ModuleType("made_here")
    script.var = made.var = variable  # type: ignore[attr-defined] # that is the point
    monkeypatch.setitem(sys.modules, "__main__", script)
    monkeypatch.setitem(sys.modules, "made_here", made)

    assert reduce_variable(variable)[0] is variable_of_token


def test_plain_pickle_still_refuses_them() -> None:
    """Nothing is changed for the rest of the program."""
    with pytest.raises(TypeError):
        pickle.dumps(AT_HOME)
