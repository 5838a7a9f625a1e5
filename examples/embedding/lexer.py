"""Text to tokens.

Owns: what a word, a number and a string look like. Threads: none; a pure function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from examples.embedding.errors import GuestSyntaxError, Place

if TYPE_CHECKING:
    from examples.embedding.errors import Source

__all__ = ("KEYWORDS", "Token", "tokenize")

KEYWORDS: Final = frozenset(
    {"and", "await", "break", "catch", "continue", "else", "false", "fn", "if", "let", "none"}
    | {"not", "or", "return", "spawn", "throw", "true", "try", "while"}
)
_TOKEN: Final = re.compile(
    r"""
      (?P<blank>[ \t\r]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<name>[^\W\d]\w*)
    | (?P<sign>==|!=|<=|>=|[-+*/%<>=(){}\[\],;])
    """,
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a program.

    Attributes:
        kind: ``number``, ``string``, ``name``, ``end``; a sign or keyword is its own kind.
        text: The number's digits, the string's content, the name.
        first: Whether it is the first one on its line: newlines end statements.
    """

    kind: str
    text: str
    place: Place
    first: bool


def tokenize(source: Source) -> list[Token]:
    """Return the tokens of *source*; the last one is of kind ``end``.

    Raises:
        GuestSyntaxError: a sign that is not in the language, or a string without an end.
    """
    text = source.text
    tokens: list[Token] = []
    position, line, line_start, first = 0, 1, 0, True
    while position < len(text):
        place = Place(source, line, position - line_start + 1)
        match = _TOKEN.match(text, position)
        if match is None:
            what = "this string has no end" if text[position] == '"' else "unknown sign"
            raise GuestSyntaxError(f"{what}: {text[position]!r}", place)
        position = match.end()
        kind, word = str(match.lastgroup), match.group()
        if kind == "newline":
            line, line_start, first = line + 1, position, True
        elif kind != "blank":
            if kind == "sign" or word in KEYWORDS:
                kind = word
            elif kind == "string":
                word = _unescaped(word[1:-1], place)
            tokens.append(Token(kind, word, place, first))
            first = False
    tokens.append(Token("end", "", Place(source, line, position - line_start + 1), first=True))
    return tokens


def _unescaped(text: str, place: Place) -> str:
    def escape(match: re.Match[str]) -> str:
        sign = match.group(1)
        if sign not in _ESCAPES:
            raise GuestSyntaxError(f"unknown escape: \\{sign}", place)
        return _ESCAPES[sign]

    return re.sub(r"\\(.)", escape, text)
