"""What jobs of the contract read and change; a module of its own: it is imported in children."""

from __future__ import annotations

import contextvars
from typing import Final

__all__ = ("COLOUR", "note", "noted", "paint")

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")

_notes: Final[list[object]] = []


def note(what: object) -> None:
    """Keep *what* in this process."""
    _notes.append(what)


def noted() -> list[object]:
    """Return what was kept in this process, and forget it."""
    found = _notes.copy()
    _notes.clear()
    return found


def paint(colour: str) -> None:
    """Set the colour."""
    COLOUR.set(colour)
