"""An error and all that hangs together with it, as a flat table of plain entries.

The first entry is the error itself; links are numbers of entries. On the side of the job.
Threads: any; no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from runtime.backends.process import describing
from runtime.backends.process.error_bodies import Form, UnfitError, body_of
from runtime.backends.process.rebuilding import field_of

if TYPE_CHECKING:
    from runtime.backends.process.error_bodies import ReduceNested

__all__ = ("MOST_ENTRIES", "NOBODY", "Entry", "describe", "tabulate")

NOBODY: Final = -1  # in place of the number of an entry
MOST_ENTRIES: Final = 200
_TEXT: Final = 256 * 1024  # characters of traceback, in all
_TITLE: Final = 16 * 1024
_WORDS: Final = 2 * 2**20  # characters of messages, arguments and notes, in all
_FEW_WORDS: Final = 200  # of each error once these are used up
_CUT: Final = "(what caused it is left out: too many errors hang together)"


class Entry(NamedTuple):
    """One error. The fields are plain data of exactly these types."""

    form: int
    names: tuple[str, ...]  # of its type and of the bases
    message: str
    args_text: str
    reason: str  # why there is no body
    notes: tuple[str, ...]
    trace: str  # empty: it was never raised
    cause: int
    context: int
    is_context_hidden: bool
    title: str  # of a group
    members: tuple[int, ...]  # of a group
    body: bytes


def tabulate(
    error: BaseException, limit: int, nested: ReduceNested, *, with_links: bool = True
) -> list[Entry]:
    """Return the entries of *error* and of what hangs together with it.

    Args:
        error: Of any type.
        limit: How many bytes all bodies together may have.
        nested: See `body_of`.
        with_links: Take its causes and contexts as well.
    """
    return _Table(limit, nested, with_links=with_links).fill(error)


def describe(error: BaseException, reason: str, text_limit: int = _TEXT) -> Entry:
    """Return an entry of *error* without a body and without links."""
    return Entry(
        form=int(Form.NOTHING),
        names=describing.type_names(type(error)),
        message=describing.message_of(error),
        args_text=describing.args_text(error),
        reason=reason,
        notes=describing.notes_of(error),
        trace=describing.cap(describing.traceback_text(error), text_limit),
        cause=NOBODY,
        context=NOBODY,
        is_context_hidden=False,
        title="",
        members=(),
        body=b"",
    )


class _Table:
    def __init__(self, limit: int, nested: ReduceNested, *, with_links: bool) -> None:
        self._left, self._text_left, self._words_left = limit, _TEXT, _WORDS
        self._nested, self._with_links = nested, with_links
        self._errors: list[BaseException] = []
        self._numbers: dict[int, int] = {}  # by identity; _errors keeps them alive
        self._entries: list[Entry] = []

    def fill(self, error: BaseException) -> list[Entry]:
        self._number(error)
        while len(self._entries) < len(self._errors):
            self._entries.append(self._entry(len(self._entries)))
        return self._entries

    def _number(self, error: BaseException) -> int:
        """Return the number of *error*, which will get an entry if it has none."""
        number = self._numbers.get(id(error))
        if number is None:
            if len(self._errors) >= MOST_ENTRIES:
                return NOBODY
            number = self._numbers[id(error)] = len(self._errors)
            self._errors.append(error)
        return number

    def _entry(self, number: int) -> Entry:
        error = self._errors[number]
        entry = describe(error, "", self._text_left)
        if number and field_of(error, "__traceback__") is None:
            entry = entry._replace(trace="")
        self._text_left = max(0, self._text_left - len(entry.trace))
        self._words_left -= sum(map(len, (entry.message, entry.args_text, *entry.notes)))
        if self._words_left < 0:
            message = describing.cap(entry.message, _FEW_WORDS)
            entry = entry._replace(message=message, args_text="", notes=())
        if self._with_links:
            entry = self._linked(entry, number)
        try:
            form, body = body_of(error, self._left, self._nested)
        except UnfitError as refusal:
            return entry._replace(reason=describing.message_of(refusal))
        except Exception as refusal:  # noqa: BLE001 - what a metaclass or a property raises
            name = describing.name_of(type(refusal))
            return entry._replace(reason=f"packing it raised {name}")
        self._left -= len(body)
        entry = entry._replace(form=int(form), body=body)
        if issubclass(type(error), BaseExceptionGroup) and form is not Form.ITSELF:
            entry = self._with_members(entry, cast("BaseExceptionGroup[BaseException]", error))
        return entry

    def _linked(self, entry: Entry, number: int) -> Entry:
        error = self._errors[number]
        links = []
        for name in ("__cause__", "__context__"):
            target = field_of(error, name)
            link = NOBODY if target is None else self._number(target)
            if target is not None and link == NOBODY and _CUT not in entry.notes:
                entry = entry._replace(notes=(*entry.notes, _CUT))
            links.append(NOBODY if self._leads_to(link, number) else link)
        hidden = bool(field_of(error, "__suppress_context__"))
        return entry._replace(cause=links[0], context=links[1], is_context_hidden=hidden)

    def _leads_to(self, start: int, goal: int) -> bool:
        """Tell whether a link from *goal* to *start* would close a circle of links."""
        seen = {start}
        ahead = [start]
        while ahead:
            number = ahead.pop()
            if number == goal:
                return True
            if 0 <= number < len(self._entries):
                entry = self._entries[number]
                new = {entry.cause, entry.context, *entry.members} - seen
                seen |= new
                ahead += new
        return False

    def _with_members(self, entry: Entry, group: BaseExceptionGroup[BaseException]) -> Entry:
        members = vars(BaseExceptionGroup)["exceptions"].__get__(group)
        numbers = [self._number(member) for member in members]
        left_out = numbers.count(NOBODY)
        kept = tuple(number for number in numbers if number != NOBODY)
        if left_out:
            note = f"({left_out} of its {len(members)} errors are left out)"
            entry = entry._replace(notes=(*entry.notes, note))
        if not kept:
            return entry._replace(form=int(Form.NOTHING), body=b"", reason="too many errors")
        title = vars(BaseExceptionGroup)["message"].__get__(group)
        return entry._replace(members=kept, title=describing.cap(str.__add__("", title), _TITLE))
