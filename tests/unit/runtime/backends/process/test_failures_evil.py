"""Errors whose class, metaclass or properties raise arrive under their own names."""

from __future__ import annotations

import pytest

from runtime.backends.process import failures
from runtime.backends.process.failures import pack_error, unpack_error
from runtime.errors import RemoteError
from tests.unit.runtime.backends.process.errors_here import raised, sent


class ClassPropertyError(Exception):
    """Cannot even be asked what it is."""

    @property  # type: ignore[misc]  # on purpose
    def __class__(self) -> type:
        raise ZeroDivisionError


class NoAttributesError(Exception):
    """Has no attribute for anybody."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


class _Meta(type):
    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError(name)


class NoNamesError(Exception, metaclass=_Meta):
    """Its class has no attribute for anybody."""


class _OddNotes(list[str]):
    def __iter__(self) -> object:  # type: ignore[override]  # on purpose
        raise RuntimeError


@pytest.mark.parametrize("kind", [ClassPropertyError, NoAttributesError])
def test_an_error_whose_attributes_raise_arrives_as_itself(kind: type[Exception]) -> None:
    """Nothing of what the pool needs to know is asked of the error."""
    error = sent(raised(kind("x")))

    assert type(error) is kind
    assert vars(BaseException)["args"].__get__(error) == ("x",)


def test_an_error_whose_metaclass_raises_is_named() -> None:
    """It cannot be rebuilt; what stands for it tells which one it was."""
    error = sent(raised(NoNamesError("x")))

    assert isinstance(error, RemoteError)
    assert error.type_names[0].endswith(".NoNamesError")
    assert "packing it raised RuntimeError" in str(error)


def test_notes_that_raise_are_left_out() -> None:
    """The rest of the error arrives."""
    error = ValueError("x")
    error.__notes__ = _OddNotes(["a"])

    assert str(sent(raised(error))) == "x"


def test_only_for_want_of_memory_the_name_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort was packed when there was some."""

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(failures, "describe", refuse)
    monkeypatch.setattr(failures, "tabulate", refuse)

    assert "there was no memory" in str(unpack_error(pack_error(ValueError("x"))))
