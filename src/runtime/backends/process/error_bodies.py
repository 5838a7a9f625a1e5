"""The part of an error that is pickled: what makes an error of the same type of it again.

It has three forms. KNOWN: the class is found by its name in a fixed table, and all that the error
holds is plain data; loading it runs nobody's code. PARTS: the class and the parts are pickled, and
the error is put together of these, so that its ``__init__`` does not matter. ITSELF: the class
says how to pickle it. Whatever cannot be loaded again is mostly found on the side of the job, as
each body is loaded there once; a class may still behave in another way on the other side.
Threads: any; no state.
"""

from __future__ import annotations

import functools
import pickle
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runtime.backends.process.describing import message_of, name_of, type_names
from runtime.backends.process.plain_pickles import load_plain
from runtime.backends.process.rebuilding import (
    KNOWN,
    Parts,
    field_of,
    is_plain,
    pickles_itself,
    put_together,
    take_apart,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    # Gives what `__reduce__` would, for an error inside another one.
    ReduceNested = Callable[[BaseException], tuple[Any, ...]]

__all__ = ("Form", "UnfitError", "body_of", "load_body")

T = TypeVar("T")

_PROTOCOL: Final = 5
_MAIN: Final = b"__main__"


class Form(IntEnum):
    """How a body is to be read."""

    NOTHING = 0  # there is none: the error is told of in words
    KNOWN = 1
    PARTS = 2
    ITSELF = 3


class UnfitError(Exception):
    """An error cannot travel as what it is; the text says why."""


def body_of(error: BaseException, limit: int, nested: ReduceNested) -> tuple[Form, bytes]:
    """Return *error* without its links, its notes, and the members of a group, as bytes.

    Args:
        error: Of any type.
        limit: How many bytes it may become.
        nested: Pickles errors that *error* holds.

    Raises:
        UnfitError: It cannot be pickled, or not be loaded again.
    """
    kind = type(error)
    parts = take_apart(error)
    known = KNOWN.get(type_names(kind)[0]) is kind
    if known and is_plain(tuple(parts)):
        return Form.KNOWN, _dump(tuple(parts), limit)
    if not known and pickles_itself(kind):
        data = _attempt("pickling it", lambda: _dump_any(error, limit, nested, error))
        if _is_faithful(data, error):
            return Form.ITSELF, data
    data = _dump_parts(kind, parts, limit, nested)
    _attempt("loading it again", lambda: _trial(data, error))
    return Form.PARTS, data


def load_body(
    form: Form, data: bytes, name: str, members: tuple[BaseException, ...], message: str
) -> BaseException:
    """Return the error that *data* is. May run code of the user, unless *form* is KNOWN.

    Args:
        form: How to read it.
        data: From `body_of`.
        name: The full name of its type.
        members: Of a group: its members.
        message: Of a group: its text.

    Raises:
        BaseException: Anything, from the code that runs.
    """
    if form is Form.KNOWN:
        value = load_plain(data)
        if not is_plain(value):  # what is nested a thousand times over would never be printed
            raise TypeError("it holds too much")
        return put_together(KNOWN[name], _checked(value), members, message)
    loaded = pickle.loads(data)
    if form is Form.PARTS:
        kind, *rest = loaded
        loaded = put_together(kind, _checked(tuple(rest)), members, message)
    error: object = loaded
    if not isinstance(error, BaseException) or _short(type_names(type(error))[0]) != _short(name):
        raise TypeError(f"it loads as a {type_names(type(error))[0]}")
    return error


class _TooLargeError(Exception):
    """A pickle has passed its limit."""


class _Sink:
    """The file that a pickler writes to; it takes no more than *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self.pieces: list[bytes] = []
        self.limit = limit
        self.left = limit

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        size = memoryview(data).nbytes
        self.left -= size
        if self.left < 0:
            raise _TooLargeError(f"it has more than {self.limit} bytes")
        self.pieces.append(bytes(data))
        return size


class _Pickler(pickle.Pickler):
    """Pickles errors inside an error by way of *nested*."""

    def __init__(self, file: _Sink, nested: ReduceNested, top: object) -> None:
        super().__init__(file, _PROTOCOL)
        self._nested, self._top = nested, top

    def reducer_override(self, obj: object, /) -> Any:  # noqa: ANN401 - as pickle has it
        if isinstance(obj, BaseException) and obj is not self._top:
            return self._nested(obj)
        return NotImplemented


@functools.cache
def _by_value_pickler() -> Callable[[_Sink, ReduceNested, object], pickle.Pickler]:
    """Return the pickler for what no import finds; most processes never need it."""
    import cloudpickle  # type: ignore[import-untyped]  # it has no types  # noqa: PLC0415 - slow

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        def __init__(self, file: _Sink, nested: ReduceNested, top: object) -> None:
            super().__init__(file, _PROTOCOL)
            self._our_nested, self._our_top = nested, top

        def reducer_override(self, obj: object, /) -> Any:  # noqa: ANN401 - as pickle has it
            if isinstance(obj, BaseException) and obj is not self._our_top:
                return self._our_nested(obj)
            return super().reducer_override(obj)

    return Pickler


def _dump(value: object, limit: int) -> bytes:
    sink = _Sink(limit)
    try:
        pickle.Pickler(sink, _PROTOCOL).dump(value)
    except _TooLargeError as refusal:
        raise UnfitError(str(refusal)) from None
    return b"".join(sink.pieces)


def _dump_any(value: object, limit: int, nested: ReduceNested, top: object = None) -> bytes:
    """Return the pickle of *value*: by reference where that does, else by value."""
    sink = _Sink(limit)
    try:
        _Pickler(sink, nested, top).dump(value)
    except (_TooLargeError, RecursionError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - the next one may be able to
        pass
    else:
        data = b"".join(sink.pieces)
        if _MAIN not in data:  # the other side has another __main__
            return data
    sink = _Sink(limit)
    _by_value_pickler()(sink, nested, top).dump(value)
    return b"".join(sink.pieces)


def _dump_parts(kind: type[BaseException], parts: Parts, limit: int, nested: ReduceNested) -> bytes:
    try:
        return _attempt("pickling it", lambda: _dump_any((kind, *parts), limit, nested))
    except UnfitError:
        named = [("its class", kind), *((f"its argument {i}", a) for i, a in enumerate(parts.args))]
        for fields in (parts.fields, parts.state):
            named += [(f"its attribute {name!r}", value) for name, value in fields.items()]
        for what, part in named:
            _attempt(f"pickling {what}", functools.partial(_dump_any, part, limit, nested))
        raise


def _is_faithful(data: bytes, error: BaseException) -> bool:
    """Tell whether *data* loads as an error of its own that is like *error*."""
    try:
        again = pickle.loads(data)
    except BaseException:  # noqa: BLE001 - it is the user's code
        return False
    if type(again) is not type(error) or again is error:  # itself: there is but one of it
        return False
    before, after = field_of(error, "args"), field_of(again, "args")
    if len(before) != len(after) or (is_plain(before) and before != after):
        return False
    return is_plain(before) or _text(again) == _text(error)


def _text(error: BaseException) -> str:
    return message_of(error).partition(" at 0x")[0]  # an address differs


def _trial(data: bytes, error: BaseException) -> None:
    kind, *rest = pickle.loads(data)
    if kind is not type(error):
        raise TypeError("its class is another one when loaded")
    is_group = issubclass(type(error), BaseExceptionGroup)
    members = vars(BaseExceptionGroup)["exceptions"].__get__(error) if is_group else ()
    put_together(kind, Parts(*rest), members, "trial")


def _attempt(what: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except BaseException as refusal:  # noqa: BLE001 - it is the user's code; anything may come
        text = message_of(refusal)
        name = "" if type(refusal) is _TooLargeError else f"{name_of(type(refusal))}: "
        raise UnfitError(f"{what} failed: {name}{text}") from None


def _short(name: str) -> str:
    """Return the end of a full name: a class that travels by value loses what is before it."""
    return name.rpartition(".")[2]


def _checked(parts: tuple[Any, ...]) -> Parts:
    """Return *parts* as such where they have the right types."""
    args, fields, state = parts
    if [type(args), type(fields), type(state)] != [tuple, dict, dict]:
        raise TypeError("these are no parts of an error")
    if not all(type(key) is str for key in (*fields, *state)):
        raise TypeError("the fields of an error have names")
    return Parts(args, fields, state)
