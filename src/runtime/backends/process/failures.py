"""Errors on their way from the process of a job to the parent.

An error travels as a table of all that hangs together with it: itself, its causes and contexts,
the members of groups. Each entry has a description in words, and where possible a body that makes
an error of the same type of it (see `error_bodies`). An error that refuses to travel takes none of
the others down with it: a `RemoteError` stands for it. The traceback of each travels as text and
is its cause here, a `RemoteTraceback`; the original cause is the cause of that one, so that
nothing is printed twice and nothing is lost.

What is sent is bounded, and `pack_error` never raises. Two things it cannot prevent: code of the
error's class that ends or blocks the process while the error is pickled, which is a crash or a
hang of that job; and code that behaves in another way when it is loaded in the parent. So where
`runs_code` says so, `unpack_error` belongs on a thread that may be given up.
Threads: any; no state.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.describing import name_of
from runtime.backends.process.error_bodies import Form
from runtime.backends.process.error_entries import MOST_ENTRIES, describe, tabulate
from runtime.backends.process.error_links import checked_entry, rebuild
from runtime.backends.process.plain_pickles import load_plain
from runtime.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.backends.process.error_entries import Entry

__all__ = ("MAX_ERROR_BYTES", "pack_error", "runs_code", "unpack_error")

MAX_ERROR_BYTES: Final = 16 * 2**20  # of all that is pickled of one error; the words are extra
_PLAIN: Final = b"P"  # nothing in it runs code
_CODE: Final = b"C"
_DEEPEST: Final = 8  # errors that hold errors in their arguments, and so on
_PROTOCOL: Final = 5


def pack_error(
    error: BaseException, label: str = "a job", *, limit: int = MAX_ERROR_BYTES
) -> bytes:
    """Return *error* as bytes; never raises. On the side of the job.

    Args:
        error: Of any type; it is not changed.
        label: Whose error it is, for instance ``worker 7 'resize'``.
        limit: How many bytes its arguments and attributes may have, pickled.
    """
    try:
        return _packed(error, label, limit, (id(error),))
    except BaseException as refusal:  # noqa: BLE001 - no memory, or an interrupt meant for the job
        try:
            reason = f"packing it raised {name_of(type(refusal))}"
            return _encoded(label, [describe(error, reason)])
        except BaseException:  # noqa: BLE001 - no memory at all
            return _LAST_RESORT


def runs_code(data: bytes | bytearray | memoryview, *, data_only: bool = False) -> bool:
    """Tell whether `unpack_error` may import modules or run code of the error's class."""
    return not data_only and bytes(data[:1]) == _CODE


def unpack_error(
    data: bytes | bytearray | memoryview, *, data_only: bool = False, label: str = ""
) -> BaseException:
    """Return the error that *data* tells of: a new object each time. In the parent.

    Args:
        data: From `pack_error`.
        data_only: Run no code: only Python's errors and this package's, holding plain data, are
            rebuilt; a `RemoteError` stands for any other.
        label: Whose error it is, in place of what `pack_error` was told.

    Raises:
        ProtocolError: No `pack_error` made *data*.
    """
    flag = bytes(data[:1])
    try:
        given, pid, values = load_plain(bytes(data[1:]))
    except Exception as refusal:  # noqa: BLE001 - bytes from elsewhere; anything may come
        raise ProtocolError(f"an error came in a form that is none: {refusal!r}") from None
    if flag not in {_PLAIN, _CODE} or (type(given), type(pid), type(values)) != (str, int, list):
        raise ProtocolError("an error came in a form that is none: it is malformed")
    if not 0 < len(values) <= MOST_ENTRIES:
        raise ProtocolError(f"an error came in a form that is none: {len(values)} entries")
    entries = [checked_entry(value, len(values)) for value in values]
    return rebuild(entries, label or given, pid, data_only=data_only or flag == _PLAIN)


def _packed(error: BaseException, label: str, limit: int, inside: tuple[int, ...]) -> bytes:
    """Return *error* as bytes; *inside* are the identities of it and of what holds it."""

    def nested(inner: BaseException) -> tuple[Any, ...]:  # as __reduce__ has it
        if id(inner) in inside:
            data = _encoded(label, [describe(inner, "it holds itself")])
        elif len(inside) > _DEEPEST:
            data = _encoded(label, [describe(inner, "too many errors hold each other")])
        else:
            data = _packed(inner, label, limit, (*inside, id(inner)))
        return _unpack_nested, (data,)

    # Without the links of an inner error: they are mostly in the table anyway, and errors that
    # hold their causes would be packed over and over.
    return _encoded(label, tabulate(error, limit, nested, with_links=len(inside) == 1))


def _unpack_nested(data: bytes) -> BaseException:
    """Return an error that was an argument or an attribute of another one."""
    return unpack_error(data)


def _encoded(label: str, entries: Sequence[Entry]) -> bytes:
    table = [tuple(entry) for entry in entries]
    flag = _CODE if any(entry.form > Form.KNOWN for entry in entries) else _PLAIN
    return flag + pickle.dumps((str.__add__("", label), os.getpid(), table), _PROTOCOL)


_LAST_RESORT: Final = _encoded(
    "a job", [describe(MemoryError(), "there was no memory to tell which error it was")]
)
