"""Whether a function that travels by value is still what it was when it was pickled.

A snapshot has the identity of all that the function holds: code, defaults, cells, globals that
its code names, and the same of functions among these. It is only made where all of that is
immutable, so that a change is a rebinding, which the next look sees.
Threads: any.
"""

from __future__ import annotations

import opcode
import re
import sys
import weakref
from contextvars import ContextVar
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

__all__ = ("Snapshot", "is_importable", "modules_by_value", "snapshot_of")

_ATOMS: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type(...), range, re.Pattern, ContextVar}
)
_MISSING: Final = object()  # in place of a global that is a builtin, or not there yet
_ref: Final = weakref.ref
_MOST: Final = 64  # functions that one snapshot covers
_DEEPEST: Final = 20  # levels of tuples
_REBINDS_GLOBAL: Final = frozenset(
    opcode.opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL") if name in opcode.opmap
)
_REBINDS_CELL: Final = frozenset(
    opcode.opmap[name] for name in ("STORE_DEREF", "DELETE_DEREF") if name in opcode.opmap
)


class _MutableError(Exception):
    """Something is held that may change without being rebound."""


@final
class _Held:
    """What one function held. Functions, classes and modules are held weakly, against cycles."""

    __slots__ = ("_cells", "_code", "_defaults", "_names", "function")

    def __init__(self, function: FunctionType, freeze: Callable[[object], object]) -> None:
        if function.__kwdefaults__ or function.__dict__:
            raise _MutableError
        self.function = weakref.ref(function)
        self._code = function.__code__
        self._defaults = function.__defaults__
        if not _is_constant(self._defaults):
            raise _MutableError
        # Neither the cells nor the globals themselves are kept: both may keep the function.
        self._cells = tuple(freeze(_content(cell)) for cell in function.__closure__ or ())
        names = function.__globals__
        self._names = tuple(
            (name, freeze(names.get(name, _MISSING))) for name in _names_in(self._code)
        )

    def is_still(self, function: FunctionType) -> bool:
        """Tell whether *function* holds the same."""
        if (
            function.__code__ is not self._code
            or function.__defaults__ is not self._defaults
            or function.__kwdefaults__
            or function.__dict__
        ):
            return False
        if self._cells:
            for cell, before in zip(function.__closure__ or (), self._cells, strict=True):
                now = _content(cell)
                if now is not before and (type(before) is not _ref or before() is not now):
                    return False
        names = function.__globals__
        for name, before in self._names:
            now = names.get(name, _MISSING)
            if now is not before and (type(before) is not _ref or before() is not now):
                return False
        return True


@final
class Snapshot:
    """What a function and the functions that it refers to held, at one moment.

    Attributes:
        is_written: Whether one of them rebinds what it holds: then a copy of it is not the same
            any more after a call.
    """

    __slots__ = ("_held", "is_written")

    def __init__(self, func: FunctionType) -> None:
        self._held: list[_Held] = []
        codes: list[CodeType] = []
        waiting, seen = [func], {id(func)}

        def freeze(value: object) -> object:
            return _frozen(value, waiting, seen)

        while waiting:
            function = waiting.pop()
            self._held.append(_Held(function, freeze))
            codes += _codes_in(function.__code__)
            if len(self._held) > _MOST:
                raise _MutableError
        has_cells = any(code.co_freevars for code in codes)
        self.is_written = any(_rebinds(code, has_cells=has_cells) for code in codes)

    def holds(self) -> bool:
        """Tell whether nothing has been rebound since."""
        for held in self._held:
            function = held.function()
            if function is None or not held.is_still(function):
                return False
        return True


def snapshot_of(func: object) -> Snapshot | None:
    """Return what *func* holds; None where some of that may change without being rebound."""
    if type(func) is not FunctionType:
        return None
    try:
        return Snapshot(func)
    except _MutableError:
        return None


def is_importable(value: Any) -> bool:  # noqa: ANN401 - Any: it may be anything
    """Tell whether another process finds *value* by the name of its module and its own."""
    module_name = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if (
        not isinstance(module_name, str)
        or not isinstance(name, str)
        or module_name == "__main__"
        or "<" in name
    ):
        return False
    found: object = sys.modules.get(module_name)
    if getattr(found, "__spec__", None) is None or _is_by_value(module_name):
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def modules_by_value() -> AbstractSet[str]:
    """Return the names of the modules that the user told cloudpickle to take by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    # While another thread imports it, it has no functions yet: nobody can have told it anything.
    registered = getattr(cloudpickle, "list_registry_pickle_by_value", None)
    return frozenset() if registered is None else registered()


def _is_by_value(module_name: str) -> bool:
    """Tell whether *module_name* is one of these, or inside of one."""
    return any(
        module_name == name or module_name.startswith(name + ".") for name in modules_by_value()
    )


def _frozen(value: object, waiting: list[FunctionType], seen: set[int]) -> object:
    """Return what stands for *value*: itself, or a weak reference to it.

    Raises:
        _MutableError: it may change without being rebound.
    """
    if _is_constant(value):
        return value
    if isinstance(value, ModuleType):
        if value.__spec__ is None or sys.modules.get(value.__name__) is not value:
            raise _MutableError  # made at run time: it travels by value
    elif isinstance(value, FunctionType):
        if not is_importable(value) and id(value) not in seen:
            seen.add(id(value))
            waiting.append(value)
    elif not isinstance(value, (type, BuiltinFunctionType)) or not is_importable(value):
        raise _MutableError
    return weakref.ref(value)


def _is_constant(value: object, depth: int = 0) -> bool:
    """Tell whether *value* can never change. Functions in tuples are not worth the trouble."""
    kind = type(value)
    if kind in _ATOMS or value is _MISSING:
        return True
    if isinstance(value, (tuple, frozenset)) and kind in {tuple, frozenset} and depth < _DEEPEST:
        return all(_is_constant(item, depth + 1) for item in value)
    return False


def _content(cell: Any) -> object:  # noqa: ANN401 - Any: the type of cells is checked at run time
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return _MISSING


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _names_in(code: CodeType) -> set[str]:
    return {name for part in _codes_in(code) for name in part.co_names}


def _rebinds(code: CodeType, *, has_cells: bool) -> bool:
    """Tell whether *code* may assign to a global, or to a variable of a function around it."""
    instructions = frozenset(code.co_code[::2])
    if instructions & _REBINDS_GLOBAL:
        return True
    return has_cells and bool(instructions & _REBINDS_CELL)
