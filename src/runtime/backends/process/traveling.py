"""Why an object cannot travel to another process, and which part of it is to blame.

The object is pickled once more, by a pickler that notes where it is: the last object that it
took up is to blame. The way there is then looked for from the root, breadth first.
Threads: any. Only used for errors; bounded by `_MOST` objects.
"""

from __future__ import annotations

import functools
from collections import deque
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.freezing import is_importable
from runtime.backends.process.pickling import PROTOCOL, cloud_pickler
from runtime.errors import UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ("find_culprit", "reason_of", "why_not")

_MOST: Final = 50_000  # objects that are looked at
_LONGEST: Final = 300  # characters of an error's message
_KEY: Final = 40  # characters of a key
_BY_VALUE: Final = "cloudpickle"  # may be missing where this package was put by hand
_UNSEEN: Final = object()
_WHAT: Final = {"return": "its result ", "report": "what it reported "}  # by verb
_ADVICE: Final = {  # by the name of a type
    "_thread.lock": "make the lock inside of the function: processes cannot share it",
    "_thread.RLock": "make the lock inside of the function: processes cannot share it",
    "_io.TextIOWrapper": "open the file inside of the function, and pass its name",
    "_io.BufferedReader": "open the file inside of the function, and pass its name",
    "_io.BufferedWriter": "open the file inside of the function, and pass its name",
    "socket.socket": "connect inside of the function, and pass the address",
    "generator": "pass a list of what it gives",
    "coroutine": "pass the function that makes it, and run it there",
}


def find_culprit(obj: object, name: str = "func") -> str | None:
    """Return what in *obj* cannot travel, and the way there; None where nothing is found.

    Such as ``func.__closure__[1] 'cfg' -> .lock: _thread.lock``. Runs code of the objects' classes.

    Args:
        obj: Anything.
        name: What the way begins with.
    """
    found = _look(obj, name)
    return None if found is None else f"{found[0]}: {found[1]}"


def why_not(
    label: str, parts: Mapping[str, object], error: BaseException, verb: str = "pass"
) -> UnpicklableError:
    """Return the error that says why *parts*, by their names, cannot travel together.

    Args:
        label: Whose they are.
        parts: What was pickled.
        error: What pickling raised.
        verb: What is done with them: a job may also ``return`` or ``report`` something.
    """
    path, kind = "", ""
    if not isinstance(error, MemoryError):  # a search needs some, too
        for name, part in parts.items():
            found = _look(part, name)
            if found is not None:
                path, kind = f"{found[0]}: {found[1]}", found[1]
                break
    return UnpicklableError(
        label,
        f"{_WHAT.get(verb, '')}cannot travel to another process",
        path=path,
        reason=reason_of(error),
        advice=_advice(error, kind, verb),
    )


def reason_of(error: BaseException) -> str:
    """Return the type and the message of *error*, not too long."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is the user's
        text = "its message cannot be shown"
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _advice(error: BaseException, kind: str, verb: str) -> str:
    if isinstance(error, ImportError) and error.name == _BY_VALUE:
        return f"install {_BY_VALUE}, or {verb} only what can be imported from a module"
    if _is_too_deep(error):
        return f"it is nested too deeply: {verb} a flat form of it"
    if isinstance(error, MemoryError):
        return f"there is not enough memory to pickle it: {verb} less, or in parts"
    if verb != "pass":  # it was made inside of the function
        return f"{verb} plain data instead"
    return _ADVICE.get(kind, "make it inside of the function, or pass plain data instead")


def _is_too_deep(error: BaseException) -> bool:
    return isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)


def _look(root: object, name: str) -> tuple[str, str] | None:
    """Return the way to what cannot travel, and its type; None where *root* can."""
    try:
        tracker = _tracker()
    except ImportError:  # without what pickles by value nothing can be looked for
        return None
    pickler = tracker(_Nowhere(), PROTOCOL, buffer_callback=_leave_out)
    try:
        pickler.dump(root)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any of them is an answer
        culprit = root if _is_too_deep(error) else getattr(pickler, "last", root)
        way = _way(root, culprit)
        return name + (way or ("" if culprit is root else " -> ...")), _type_name(culprit)
    return None


class _Nowhere:
    """A file that keeps nothing."""

    __slots__ = ()

    def write(self, piece: bytes | memoryview) -> None:
        """Forget *piece*."""


def _leave_out(_: object) -> bool:
    return False  # a buffer that is not part of the stream


@functools.cache
def _tracker() -> Callable[..., Any]:  # Any: a pickler that has the attribute `last`
    """Return the pickler by value that notes in ``last`` which object it has taken up."""

    def persistent_id(self: Any, obj: object) -> None:  # noqa: ANN401 - Any: see above
        self.last = obj

    return cloud_pickler(persistent_id=persistent_id)


def _way(root: object, goal: object) -> str | None:
    """Return the steps from *root* to *goal*; None where there are too many."""
    if root is goal:
        return ""
    # Each entry: the object, the entry that it was found from, and the step from there.
    found: list[tuple[object, int, str]] = [(root, -1, "")]  # keeps all of them: ids stay valid
    seen = {id(root)}
    waiting = deque([0])
    while waiting and len(found) < _MOST:
        here = waiting.popleft()
        for step, child in _parts(found[here][0]):
            if id(child) in seen:
                continue
            seen.add(id(child))
            found.append((child, here, step))
            if child is goal:
                return _steps(found)
            waiting.append(len(found) - 1)
            if len(found) >= _MOST:
                break
    return None


def _steps(found: list[tuple[object, int, str]]) -> str:
    """Return the steps to the last one."""
    steps: list[str] = []
    index = len(found) - 1
    while index > 0:
        _, index, step = found[index]
        steps.append(step)
    return " -> ".join(reversed(steps))


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    """Give what *obj* takes along when it travels."""
    try:
        if isinstance(obj, FunctionType):
            yield from () if is_importable(obj) else _parts_of_function(obj)
        elif isinstance(obj, type):
            yield from () if is_importable(obj) else _parts_of_class(obj)
        elif isinstance(obj, MethodType):
            yield from ((".__self__", obj.__self__), (".__func__", obj.__func__))
        elif not isinstance(obj, ModuleType) or getattr(obj, "__spec__", None) is None:
            yield from _items(obj)
            yield from _attributes(obj)
    except Exception:  # noqa: BLE001 - it may have strange attributes: then the way is not found
        return


def _parts_of_function(func: FunctionType) -> Iterator[tuple[str, object]]:
    for index, cell in enumerate(func.__closure__ or ()):
        try:
            yield f".__closure__[{index}] {func.__code__.co_freevars[index]!r}", cell.cell_contents
        except ValueError:  # empty
            continue
    for index, value in enumerate(func.__defaults__ or ()):
        yield f".__defaults__[{index}]", value
    for key, value in (func.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{key!r}]", value
    for name in _names(func):
        if name in func.__globals__:
            yield f".__globals__[{name!r}]", func.__globals__[name]
    for key, value in func.__dict__.items():
        yield f".{key}", value


def _names(func: FunctionType) -> list[str]:
    names: dict[str, None] = {}
    codes = [func.__code__]
    while codes:
        code = codes.pop()
        names.update(dict.fromkeys(code.co_names))
        codes += [constant for constant in code.co_consts if isinstance(constant, type(code))]
    return list(names)


def _parts_of_class(cls: type) -> Iterator[tuple[str, object]]:
    for key, value in vars(cls).items():
        if isinstance(value, (staticmethod, classmethod)):
            yield f".{key}", value.__func__
        elif isinstance(value, property):
            yield f".{key}.fget", value.fget
        else:
            yield f".{key}", value
    for index, base in enumerate(cls.__bases__):
        yield f".__bases__[{index}]", base


def _items(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{_short(key)}]", value
            yield f".keys() {_short(key)}", key
    elif isinstance(obj, (list, tuple, deque)):
        yield from ((f"[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, (set, frozenset)):
        yield from ((f" element {_short(value)}", value) for value in obj)
    elif isinstance(obj, functools.partial):
        yield from ((".func", obj.func), (".args", obj.args), (".keywords", obj.keywords))
    elif isinstance(obj, BaseException):
        yield ".args", obj.args


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    values = getattr(obj, "__dict__", None)
    if isinstance(values, dict):
        for key, value in values.items():
            yield f".{key}", value
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            key = f"_{cls.__name__.lstrip('_')}{slot}" if private else slot
            value = getattr(obj, key, _UNSEEN)
            if value is not _UNSEEN:
                yield f".{key}", value


def _short(key: object) -> str:
    if type(key) not in {str, int, bytes, bool, float, type(None)}:
        return f"a {_type_name(key)}"
    text = repr(key)
    return text if len(text) <= _KEY else text[:_KEY] + "..."


def _type_name(obj: object) -> str:
    kind = type(obj)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
