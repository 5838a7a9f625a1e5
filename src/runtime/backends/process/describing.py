"""What is told of an error in words: its type, its text, its notes, its frames; always bounded.

Nothing here raises because of the error, whatever its methods do.
Threads: any; no state.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = (
    "args_text",
    "cap",
    "message_of",
    "name_of",
    "notes_of",
    "traceback_text",
    "type_names",
)

_MESSAGE: Final = 8 * 1024  # characters, here and below
_ARGS: Final = 2 * 1024
_NOTE: Final = 16 * 1024
_NOTES: Final = 50
_NAME: Final = 300
_NAMES: Final = 40
_FRAMES_TEXT: Final = 24 * 1024
_FIRST_FRAMES: Final = 50
_LAST_FRAMES: Final = 150
_RELATIVES: Final = 10
_OURS: Final = "runtime."


def cap(text: str, limit: int) -> str:
    """Return *text* where it is short enough, else its beginning and its end."""
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - head
    return f"{text[:head]}\n... {len(text) - limit} characters left out ...\n{text[-tail:]}"


def type_names(kind: type) -> tuple[str, ...]:
    """Return the full names of *kind* and of its bases, but for `object`."""
    bases = vars(type)["__mro__"].__get__(kind)[:_NAMES][:-1]
    return tuple(cap(_words(partial(_full_name, base)), _NAME) for base in bases) or (
        cap(_words(partial(_full_name, kind)), _NAME),
    )


def name_of(kind: type) -> str:
    """Return the name of *kind* alone, whatever its metaclass makes of that."""
    name: str = vars(type)["__name__"].__get__(kind)
    return name


def message_of(error: BaseException) -> str:
    """Return ``str(error)``."""
    return cap(_words(partial(str, error)), _MESSAGE)


def args_text(error: BaseException) -> str:
    """Return the ``repr`` of the error's arguments."""
    return cap(_words(lambda: repr(vars(BaseException)["args"].__get__(error))), _ARGS)


def notes_of(error: BaseException) -> tuple[str, ...]:
    """Return the notes that were added to *error*."""
    notes = vars(BaseException)["__dict__"].__get__(error).get("__notes__")
    try:
        given = list(notes)[:_NOTES] if isinstance(notes, (list, tuple)) else []
    except BaseException:  # noqa: BLE001 - a list of the user's own may do anything
        return ()
    return tuple(cap(_words(partial(str, note)), _NOTE) for note in given)


def traceback_text(error: BaseException) -> str:
    """Return the traceback of *error* alone, as Python prints it, without our frames at its top.

    Its causes and the members of a group are not in it: they have their own.
    """
    trace = _of_user(vars(BaseException)["__traceback__"].__get__(error))
    frames = "" if trace is None else cap(_words(partial(_frames_text, trace)), _FRAMES_TEXT)
    return frames + cap(_last_words(error), _MESSAGE)


def _of_user(trace: TracebackType | None) -> TracebackType | None:
    """Return *trace* from the first frame that is not ours; all of it where all are ours."""
    rest = trace
    while rest is not None:
        name = rest.tb_frame.f_globals.get("__name__")
        if not (isinstance(name, str) and name.startswith(_OURS)):
            return rest
        rest = rest.tb_next
    return trace


def _frames_text(trace: TracebackType) -> str:
    import traceback  # noqa: PLC0415 - a process without a failure does without

    depth, step = 0, trace.tb_next
    while step is not None:
        depth, step = depth + 1, step.tb_next
    depth += 1
    if depth <= _FIRST_FRAMES + _LAST_FRAMES:
        lines = traceback.format_tb(trace)
    else:
        left_out = depth - _FIRST_FRAMES - _LAST_FRAMES
        lines = traceback.format_tb(trace, _FIRST_FRAMES)
        lines.append(f"  ... {left_out} frames left out ...\n")
        lines += traceback.format_tb(trace, -_LAST_FRAMES)
    return "Traceback (most recent call last):\n" + "".join(lines)


def _last_words(error: BaseException) -> str:
    """Return the line that ends a traceback, and the notes."""
    import traceback  # noqa: PLC0415 - as above

    if _has_few_relatives(error):  # all of these are formatted first, and thrown away
        try:
            return "".join(traceback.format_exception_only(type(error), error))
        except BaseException:  # noqa: BLE001 - any of its methods may refuse
            pass
    name = type_names(type(error))[0].removeprefix("builtins.").removeprefix("__main__.")
    text = message_of(error)
    return "\n".join([f"{name}: {text}" if text else name, *notes_of(error), ""])


def _has_few_relatives(error: BaseException) -> bool:
    fields = vars(BaseException)
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead and len(seen) < _RELATIVES:
        relative = ahead.pop()
        if relative is None or id(relative) in seen:
            continue
        if issubclass(type(relative), BaseExceptionGroup):  # it may have a `__class__` that raises
            return False
        seen.add(id(relative))
        ahead += [fields[name].__get__(relative) for name in ("__cause__", "__context__")]
    return not ahead


def _full_name(kind: type) -> str:
    fields = vars(type)  # a metaclass may make anything of these names
    return f"{fields['__module__'].__get__(kind)}.{fields['__qualname__'].__get__(kind)}"


def _words(give: Callable[[], str]) -> str:
    """Return the text that *give* gives, as a plain `str`; what happened, where it raises."""
    try:
        return str.__add__("", give())  # a subclass of str becomes one
    except BaseException as refusal:  # noqa: BLE001 - it is the user's code; anything may come
        return f"<no text: it raised {name_of(type(refusal))}>"
