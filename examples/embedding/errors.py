"""What goes wrong in a guest program, and how it is told: place, source line, guest stack.

Owns: the two error classes and their text. Threads: none; plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ("GuestError", "GuestSyntaxError", "Place", "Source")

_KEEP: Final = 8  # a longer stack shows this many entries at each end


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one program, and the name that messages show."""

    name: str
    text: str

    def excerpt(self, line: int, column: int) -> str:
        """Return the line with a mark under the column."""
        text = self.text.splitlines()[line - 1] if line <= self.text.count("\n") + 1 else ""
        margin = "".join(sign if sign == "\t" else " " for sign in text[: column - 1])
        return f"    {text}\n    {margin}^"


@dataclass(frozen=True, slots=True)
class Place:
    """One point of a program; *function* is the guest function around it."""

    source: Source
    line: int
    column: int
    function: str = "the main program"

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


class GuestSyntaxError(SyntaxError):
    """The program cannot be compiled."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place

    def report(self) -> str:
        """Return what a person at a terminal wants to read."""
        return f"{self}\n{self.place.source.excerpt(self.place.line, self.place.column)}"


class GuestError(Exception):
    """A guest program threw *value*, or did what the language forbids (then it is the message).

    An operation raises it bare; the fiber that unwinds adds where, once, and the calls that
    led there. Copies share the trace, so it is a tuple that is replaced, never changed.
    """

    def __init__(self, value: object, text: str | None = None) -> None:
        super().__init__(str(value) if text is None else text)
        self.value = value
        self.place: Place | None = None
        self.trace: tuple[str, ...] = ()  # innermost first

    def locate(self, place: Place, entries: list[str]) -> None:
        """Note that the error passed through *entries*; the first one to say so owns the place."""
        if self.place is None:
            self.place = place
        self.trace = _shortened((*self.trace, *entries))

    def report(self) -> str:
        """Return what a person at a terminal wants to read."""
        stack = "".join(f"\n  {entry}" for entry in self.trace)
        if self.place is None:
            return f"error: {self}{stack}"
        excerpt = self.place.source.excerpt(self.place.line, self.place.column)
        return f"{self.place}: error: {self}\n{excerpt}{stack}"


def _shortened(entries: tuple[str, ...]) -> tuple[str, ...]:
    hidden = len(entries) - 2 * _KEEP
    if hidden <= 1:
        return entries
    return (*entries[:_KEEP], f"... {hidden} more ...", *entries[-_KEEP:])
