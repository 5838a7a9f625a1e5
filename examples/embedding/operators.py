"""What the operators do: two values come from the stack, one goes back.

Numbers and booleans are Python's, but the guest's rules are stricter: ``true + 1`` and
``"a" * 3`` are errors. See `operations` for what all operations have in common.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from examples.embedding.errors import GuestError
from examples.embedding.values import kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.embedding.fiber import Fiber
    from examples.embedding.values import Instruction, Operation, Value

__all__ = ("BINARY", "UNARY")

_NUMBERS: Final = frozenset({int, float})


def _negate(fiber: Fiber, at: Instruction) -> Instruction:
    """Change the sign of the top."""
    if type(fiber.stack[-1]) not in _NUMBERS:
        raise GuestError(f"cannot use - on {kind(fiber.stack[-1])}")
    fiber.stack[-1] = -fiber.stack[-1]
    return at.next


def _not(fiber: Fiber, at: Instruction) -> Instruction:
    """Turn the top into the opposite boolean."""
    fiber.stack[-1] = not fiber.stack[-1]
    return at.next


def _numeric(
    sign: str, compute: Callable[[Value, Value], Value], also: tuple[type, ...] = ()
) -> Operation:
    """Make the operation for two numbers, or two of another kind in *also*."""

    def operate(fiber: Fiber, at: Instruction) -> Instruction:
        stack = fiber.stack
        right = stack.pop()
        left = stack[-1]
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            try:
                stack[-1] = compute(left, right)
            except ZeroDivisionError as error:
                raise GuestError("division by zero") from error
            except OverflowError as error:
                raise GuestError("the result is too large") from error
        elif type(left) is type(right) and type(left) in also:
            stack[-1] = compute(left, right)
        else:
            raise GuestError(f"cannot use {sign} on {kind(left)} and {kind(right)}")
        return at.next

    return operate


def _equality(compute: Callable[[Value, Value], Value]) -> Operation:
    def operate(fiber: Fiber, at: Instruction) -> Instruction:
        right = fiber.stack.pop()
        fiber.stack[-1] = compute(fiber.stack[-1], right)
        return at.next

    return operate


BINARY: Final[dict[str, Operation]] = {
    "+": _numeric("+", operator.add, (str, list)),
    "-": _numeric("-", operator.sub),
    "*": _numeric("*", operator.mul),
    "/": _numeric("/", operator.truediv),
    "%": _numeric("%", operator.mod),
    "<": _numeric("<", operator.lt, (str,)),
    "<=": _numeric("<=", operator.le, (str,)),
    ">": _numeric(">", operator.gt, (str,)),
    ">=": _numeric(">=", operator.ge, (str,)),
    "==": _equality(operator.eq),
    "!=": _equality(operator.ne),
}
UNARY: Final[dict[str, Operation]] = {"-": _negate, "not": _not}
