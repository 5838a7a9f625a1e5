"""An error taken apart into its fields, and put together again without calling its ``__init__``.

An ``__init__`` may have any signature, count things, or write to a disk; ``args`` need not be
what it was given. So it is never called a second time: the most derived builtin class makes the
object, and its fields are set.
Threads: any; no state but the table of known classes.
"""

from __future__ import annotations

import builtins
import copyreg
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from runtime import errors
from runtime.errors import CancelRequestedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = (
    "KNOWN",
    "Parts",
    "field_of",
    "is_plain",
    "is_plain_parts",
    "pickles_itself",
    "put_together",
    "take_apart",
)

_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: classes made by a ``class`` statement
_HOOKS: Final = (
    "__reduce__",
    "__reduce_ex__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})
_PLAIN_ITEMS: Final = 1000
_PLAIN_DEPTH: Final = 10
_NOT_FIELDS: Final = frozenset(
    {
        "__cause__",
        "__class__",
        "__context__",
        "__dict__",
        "__suppress_context__",
        "__traceback__",
        "__weakref__",
        "args",
    }
)
# The classes that are found by their names, without any import: Python's own, and this package's.
KNOWN: Final[dict[str, type[BaseException]]] = {
    f"{module}.{name}": value
    for module, names in (("builtins", vars(builtins)), ("runtime.errors", vars(errors)))
    for name, value in names.items()
    if isinstance(value, type) and issubclass(value, BaseException) and value.__name__ == name
}


class Parts(NamedTuple):
    """What an error consists of, its class, links and notes apart."""

    args: tuple[Any, ...]  # Any, here and below: an error holds anything
    fields: dict[str, Any]  # what builtin classes and __slots__ keep
    state: dict[str, Any]  # its __dict__


def field_of(error: BaseException, name: str) -> Any:  # noqa: ANN401 - as above
    """Return a field that `BaseException` defines, whatever the error's class makes of its name."""
    return vars(BaseException)[name].__get__(error)


def take_apart(error: BaseException) -> Parts:
    """Return the parts of *error*. No code of its class runs."""
    kind = type(error)
    fields: dict[str, Any] = {}
    for name, field in _fields(kind):
        try:
            value = field.__get__(error, kind)
        except Exception:  # noqa: BLE001 - unset
            continue
        if value is not None and name not in fields:  # None: unset in a builtin
            fields[name] = value
    state = {key: value for key, value in field_of(error, "__dict__").items() if key != "__notes__"}
    if kind is CancelRequestedError and not is_plain(state.get("reason")):
        state["reason"] = None  # the scope that asked is of that process alone
    args = field_of(error, "args")
    if issubclass(type(error), BaseExceptionGroup):  # its message and members are fields
        args = ("list",) if list in map(type, args[1:2]) else ()
    return Parts(args, fields, state)


def put_together(
    kind: type[BaseException],
    parts: Parts,
    members: Iterable[BaseException] = (),
    message: str = "",
) -> BaseException:
    """Return an error of *kind* with *parts*. No code of its class runs.

    Args:
        kind: Its class.
        parts: What `take_apart` gave.
        members: Of a group: the errors in it.
        message: Of a group: its text.

    Raises:
        TypeError: *kind* cannot have such parts.
    """
    given: object = kind  # it came from elsewhere
    if not (isinstance(given, type) and issubclass(given, BaseException)):
        raise TypeError(f"{given!r} is no class of errors")
    base = next(c for c in kind.__mro__ if not c.__flags__ & _HEAP_TYPE)
    make = cast("Callable[..., BaseException]", base.__new__)  # typed for each class apart
    if issubclass(base, BaseExceptionGroup):
        as_given = list if parts.args == ("list",) else tuple  # in its args
        error = make(kind, message, as_given(members))
    else:
        error = make(kind)  # without arguments: by these, OSError chooses one of its subclasses
        vars(BaseException)["args"].__set__(error, parts.args)
    done = set()
    for name, field in _fields(kind):
        if name in parts.fields and name not in done:
            done.add(name)
            try:
                field.__set__(error, parts.fields[name])
            except (AttributeError, TypeError):  # read-only: made by __new__
                continue
    field_of(error, "__dict__").update(parts.state)
    return error


def pickles_itself(kind: type[BaseException]) -> bool:
    """Tell whether *kind* says how to pickle it, in place of what `BaseException` says."""
    if kind in copyreg.dispatch_table:
        return True
    return any(hook in vars(c) for c in kind.__mro__ if c.__flags__ & _HEAP_TYPE for hook in _HOOKS)


def is_plain_parts(parts: Parts) -> bool:
    """Tell whether *parts* are plain data throughout."""
    return is_plain(tuple(parts))


def is_plain(value: object) -> bool:
    """Tell whether *value* is of numbers, text, bytes, and containers of such, and not large."""
    level: list[object] = [value]
    seen = 0
    for _ in range(_PLAIN_DEPTH):
        below: list[object] = []
        for item in level:
            kind = type(item)
            if kind in _PLAIN:
                continue
            if kind not in {dict, tuple, list}:
                return False
            seen += len(cast("list[object]", item))
            if seen > _PLAIN_ITEMS:
                return False
            if kind is dict:
                below += cast("dict[object, object]", item).keys()
                below += cast("dict[object, object]", item).values()
            else:
                below += cast("list[object]", item)
        if not below:
            return True
        level = below
    return False


def _fields(kind: type) -> Iterable[tuple[str, Any]]:
    for owner in kind.__mro__:
        if owner is BaseExceptionGroup:
            continue
        for name, field in vars(owner).items():
            if name in _NOT_FIELDS or (owner is AttributeError and name == "obj"):
                continue  # the object may be anything, and hold the whole program
            if isinstance(field, (MemberDescriptorType, GetSetDescriptorType)):
                yield name, field
