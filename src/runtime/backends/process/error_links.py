"""The errors that a table of entries tells of, made again and linked with each other.

Whoever sent the table is not trusted: what has a wrong type or a wrong number is a
`ProtocolError`; an entry that cannot be made again becomes a `RemoteError`.
Threads: any; no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.backends.process.describing import cap, message_of, name_of
from runtime.backends.process.error_bodies import Form, load_body
from runtime.backends.process.error_entries import NOBODY, Entry
from runtime.errors import ProtocolError, RemoteError, RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("checked_entry", "rebuild")

_TYPES: Final = (int, tuple, str, str, str, tuple, str, int, int, bool, str, tuple, bytes)
_PLAIN_ONLY: Final = "only errors of known types that hold plain data are accepted"
_REASON: Final = 500


def checked_entry(value: object, count: int) -> Entry:
    """Return *value*, one of *count*, as an entry.

    Raises:
        ProtocolError: It is none.
    """
    if type(value) is not tuple or tuple(map(type, value)) != _TYPES:
        raise ProtocolError("an error came in a form that is none: its entries are malformed")
    entry = Entry(*value)
    words = all(type(text) is str for text in (*entry.names, *entry.notes))
    numbers = (*entry.members, entry.cause, entry.context)
    if not (words and entry.names and 0 <= entry.form <= max(Form)):
        raise ProtocolError("an error came in a form that is none: an entry has wrong values")
    if NOBODY in entry.members or not all(
        type(number) is int and NOBODY <= number < count for number in numbers
    ):
        raise ProtocolError("an error came in a form that is none: an entry has a wrong link")
    return entry


def rebuild(entries: Sequence[Entry], label: str, pid: int, *, data_only: bool) -> BaseException:
    """Return the error that the first of *entries* tells of, linked with the others.

    Args:
        entries: At least one; see `checked_entry`.
        label: Whose error it is.
        pid: The process that it comes from.
        data_only: Run no code of anybody.
    """
    errors: dict[int, BaseException] = {}
    for number in _members_first(entries):
        entry = entries[number]
        members = tuple(errors[member] for member in entry.members)
        errors[number] = _made(entry, members, label, data_only=data_only)
    for number, entry in enumerate(entries):
        _link(errors[number], entry, errors, pid)
    return errors[0]


def _members_first(entries: Sequence[Entry]) -> Iterator[int]:
    """Yield the number of each entry once, after those of its members."""
    begun: set[int] = set()
    ended: set[int] = set()
    for first in range(len(entries)):
        ahead = [first]
        while ahead:
            number = ahead[-1]
            if number in begun:
                ahead.pop()
                if number not in ended:
                    ended.add(number)
                    yield number
                continue
            begun.add(number)
            for member in entries[number].members:
                if member in begun and member not in ended:
                    raise ProtocolError("an error came in a form that is none: it holds itself")
                ahead.append(member)


def _made(
    entry: Entry, members: tuple[BaseException, ...], label: str, *, data_only: bool
) -> BaseException:
    reason = entry.reason
    form = Form(entry.form)
    if form > Form.KNOWN and data_only:
        reason = _PLAIN_ONLY
    elif form is not Form.NOTHING:
        try:
            return load_body(form, entry.body, entry.names[0], members, entry.title)
        except BaseException as refusal:  # noqa: BLE001 - it is the user's code; anything may come
            reason = f"loading it failed: {name_of(type(refusal))}: {message_of(refusal)}"
    return RemoteError(
        label,
        entry.names,
        entry.message,
        reason=cap(reason, _REASON),
        args_text=entry.args_text,
        remote_traceback=entry.trace,
    )


def _link(error: BaseException, entry: Entry, errors: dict[int, BaseException], pid: int) -> None:
    cause, context = errors.get(entry.cause), errors.get(entry.context)
    if entry.trace:
        trace = RemoteTraceback(entry.trace, pid)
        _set_links(trace, cause, context, hidden=entry.is_context_hidden)
        _set_links(error, trace, context, hidden=True)
    else:
        _set_links(error, cause, context, hidden=entry.is_context_hidden)
    state = vars(BaseException)["__dict__"].__get__(error)
    if entry.notes:
        state["__notes__"] = list(entry.notes)


def _set_links(
    error: BaseException,
    cause: BaseException | None,
    context: BaseException | None,
    *,
    hidden: bool,
) -> None:
    fields = vars(BaseException)  # what the error's class makes of these names does not matter
    fields["__cause__"].__set__(error, cause)
    fields["__context__"].__set__(error, context)
    fields["__suppress_context__"].__set__(error, hidden)
