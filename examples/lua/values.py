"""Values that travel from one Lua state to another, and text.

Strings of Lua are bytes: they are passed on as they are. Tables are copied; in between a table is
a `Frozen`, which belongs to no state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lupa.lua54 import lua_type

if TYPE_CHECKING:
    from lupa.lua54 import LuaRuntime

__all__ = ("Frozen", "LuaValue", "as_lua", "freeze", "text")

LuaValue: TypeAlias = Any  # nil, booleans, numbers, bytes; tables, functions, coroutines of lupa

_DEEPEST: Final = 100
_PLAIN: Final = (bool, int, float, bytes)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A copy of a table, for other states and threads."""

    pairs: tuple[tuple[LuaValue, LuaValue], ...]


def text(value: LuaValue) -> str:
    """Return a string of Lua as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def freeze(value: LuaValue, depth: int = 0) -> LuaValue:
    """Copy *value* out of its state. On the thread that runs the state.

    Raises:
        TypeError: it is, or contains, something that belongs to its state.
    """
    if value is None or isinstance(value, _PLAIN):
        return value
    kind = lua_type(value)
    if kind != "table":
        raise TypeError(f"a {kind or 'future'} cannot travel to another Lua state: give plain data")
    if depth == _DEEPEST:
        raise TypeError(f"a table is nested more than {_DEEPEST} deep, or contains itself")
    return Frozen(
        tuple((freeze(key, depth + 1), freeze(item, depth + 1)) for key, item in value.items())
    )


def as_lua(runtime: LuaRuntime, value: LuaValue) -> LuaValue:
    """Return what *value* is in the state of *runtime*; futures stay what they are."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (list, tuple)):
        return runtime.table(*(as_lua(runtime, item) for item in value))
    if not isinstance(value, Frozen):
        return value
    table = runtime.table()
    for key, item in value.pairs:
        table[as_lua(runtime, key)] = as_lua(runtime, item)
    return table
