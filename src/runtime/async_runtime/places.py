"""Where in the program something was spawned, for reports and error messages.

Kept as two words per task, code object and instruction offset, which cost no
look-up when they are taken; the line is worked out when somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

__all__ = ("describe_place",)


def describe_place(code: CodeType | None, instruction: int) -> str:
    """Return ``file:line in function`` for a place; ``an unknown place`` without *code*."""
    if code is None:
        return "an unknown place"
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
            break
    return f"{code.co_filename}:{line} in {code.co_qualname}"
