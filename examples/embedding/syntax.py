"""The syntax tree: what the parser makes and the compiler reads.

Every node keeps the token that errors should point at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from examples.embedding.lexer import Token

__all__ = (
    "Assign",
    "Await",
    "Binary",
    "Block",
    "Call",
    "Expression",
    "ExpressionStatement",
    "FunctionLiteral",
    "If",
    "Index",
    "Jump",
    "Let",
    "ListLiteral",
    "Literal",
    "Logical",
    "Name",
    "Return",
    "Spawn",
    "Statement",
    "Throw",
    "Try",
    "Unary",
    "While",
)


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A number, a string, ``true``, ``false`` or ``none``."""

    at: Token
    value: float | str | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A variable that is read."""

    at: Token


@dataclass(frozen=True, slots=True, eq=False)
class ListLiteral:
    """``[a, b]``."""

    at: Token
    items: list[Expression]


@dataclass(frozen=True, slots=True, eq=False)
class FunctionLiteral:
    """``fn (a, b) { ... }``; a statement ``fn name`` is a `Let` of one."""

    at: Token
    name: str
    parameters: list[Token]
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class Unary:
    """``-a`` or ``not a``."""

    at: Token
    operand: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Binary:
    """``a + b`` and its kind: both sides are evaluated, left first."""

    at: Token
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Logical:
    """``a and b``, ``a or b``: the right side only where the left does not decide."""

    at: Token
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """``a[i]``."""

    at: Token
    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """``f(a, b)``."""

    at: Token
    callee: Expression
    arguments: list[Expression]


@dataclass(frozen=True, slots=True, eq=False)
class Spawn:
    """``spawn f(a)``: the call, in a task of its own."""

    at: Token
    call: Call


@dataclass(frozen=True, slots=True, eq=False)
class Await:
    """``await task``."""

    at: Token
    operand: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Let:
    """``let name = value``, or ``fn name(...) { ... }``."""

    name: Token
    value: Expression

    @property
    def is_function(self) -> bool:
        """Whether it is the second form."""
        literal = self.value
        return isinstance(literal, FunctionLiteral) and literal.name == self.name.text


@dataclass(frozen=True, slots=True, eq=False)
class Assign:
    """``name = value`` or ``list[i] = value``."""

    at: Token
    target: Name | Index
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class If:
    """``if condition { ... } else { ... }``."""

    at: Token
    condition: Expression
    then: Block
    otherwise: Block


@dataclass(frozen=True, slots=True, eq=False)
class While:
    """``while condition { ... }``."""

    at: Token
    condition: Expression
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class Jump:
    """``break`` or ``continue``."""

    at: Token


@dataclass(frozen=True, slots=True, eq=False)
class Return:
    """``return value``."""

    at: Token
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Throw:
    """``throw value``."""

    at: Token
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Try:
    """``try { ... } catch name { ... }``."""

    at: Token
    body: Block
    name: Token
    handler: Block


@dataclass(frozen=True, slots=True, eq=False)
class ExpressionStatement:
    """An expression for its effect."""

    at: Token
    value: Expression


Expression: TypeAlias = (
    Literal | Name | ListLiteral | FunctionLiteral | Unary | Binary | Logical | Index | Call
    | Spawn | Await
)  # fmt: skip
Statement: TypeAlias = Let | Assign | If | While | Jump | Return | Throw | Try | ExpressionStatement
Block: TypeAlias = list[Statement]
