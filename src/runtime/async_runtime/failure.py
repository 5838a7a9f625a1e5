"""A kept error, and the fresh view of it that each reader gets.

The kept exception object is never raised again: raising would grow its traceback, tie it
to the reader's frames, and share one mutable object between readers. Each reader
gets a copy with the same type, args, attributes, notes, cause and original traceback.
Source: async-runtime-spec.md, section 4; ADR-003.
"""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ("Failure", "caught", "fresh_view")

_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: classes made by a ``class`` statement
# Set by Python itself while raising, or by us below; never copied as plain attributes. The class
# least of all: the copy has it, and without the GIL assigning it stops all threads.
_OWN_FIELDS: Final = frozenset(
    {
        "__cause__",
        "__class__",
        "__context__",
        "__dict__",
        "__suppress_context__",
        "__traceback__",
        "__weakref__",
    }
)


class Failure:
    """One error as the outcome of something, and whether anybody has seen it.

    Args:
        error: What was raised; kept as it is.
        traceback: Its traceback at that moment; what readers see below their own frames.
        report: Called once with this object if it is dropped without having been read.
    """

    __slots__ = ("_error", "_report", "_traceback")

    def __init__(
        self,
        error: BaseException,
        traceback: TracebackType | None = None,
        report: Callable[[Failure], None] | None = None,
    ) -> None:
        self._error = error
        self._traceback = traceback
        self._report = report

    @property
    def error(self) -> BaseException:
        """The kept error itself: look at it, do not raise it. Does not count as read."""
        return self._error

    def view(self) -> BaseException:
        """Return a fresh copy to raise; the failure counts as seen from now on."""
        self._report = None
        return fresh_view(self._error, self._traceback)

    def mark_observed(self) -> None:
        """Do not report this failure: somebody has taken care of it."""
        self._report = None

    def __del__(self) -> None:
        report = getattr(self, "_report", None)  # an interrupt may have cut __init__ short
        if report is not None:
            self._report = None
            report(self)


def caught(error: BaseException) -> Failure:
    """Return the failure of *error*, which our caller has just caught, without the caller's frame.

    That frame holds whoever will keep the failure: with it, none of them would be freed
    before the garbage collector comes.
    """
    trace = error.__traceback__
    error.__traceback__ = trace = None if trace is None else trace.tb_next
    return Failure(error, trace)


def fresh_view(error: BaseException, traceback: TracebackType | None) -> BaseException:
    """Return a copy of *error* that shows *traceback*, made without calling its ``__init__``.

    An exception that cannot be copied faithfully (its class refuses) is returned
    itself, with its traceback set back to *traceback*.
    """
    try:
        view = _copy(error)
    except Exception:  # noqa: BLE001 - any refusal of a foreign class means: use the original
        view = error
    # Not as a method of *view*: its class may make anything of that name.
    return BaseException.with_traceback(view, traceback)


def _copy(error: BaseException) -> BaseException:
    cls = type(error)
    base = next(c for c in cls.__mro__ if not c.__flags__ & _HEAP_TYPE)
    if issubclass(base, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        make = cast("Callable[..., BaseException]", BaseExceptionGroup.__new__)
        view = make(cls, group.message, group.exceptions)
    else:
        # The most derived builtin allocates: the C part is laid out as it must be, and
        # no __new__ or __init__ of the user runs, whatever arguments they would want.
        view = cast("Callable[..., BaseException]", base.__new__)(cls, *error.args)
    for owner in cls.__mro__:
        _copy_fields(owner, error, view)
    if hasattr(error, "__dict__"):
        view.__dict__.update(error.__dict__)
        notes = error.__dict__.get("__notes__")
        if isinstance(notes, list):  # a note added to one view must not show in another
            view.__dict__["__notes__"] = list(notes)
    view.__cause__ = error.__cause__
    view.__context__ = error.__context__
    view.__suppress_context__ = error.__suppress_context__
    return view


def _copy_fields(owner: type, source: BaseException, target: BaseException) -> None:
    """Copy what *owner* keeps outside ``__dict__``: slots, and fields of builtin errors."""
    for name, field in vars(owner).items():
        if name in _OWN_FIELDS or not isinstance(
            field, (MemberDescriptorType, GetSetDescriptorType)
        ):
            continue
        try:
            value: Any = field.__get__(source, type(source))  # Any: a slot holds anything
            if value is not None:  # None means unset in a builtin: OSError shows what is set
                field.__set__(target, value)
        except (AttributeError, TypeError):  # unset, or read-only: made by __new__
            continue
