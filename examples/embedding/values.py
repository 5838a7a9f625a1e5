"""The values of the guest language, how they print, and the one kind of instruction.

Numbers, strings, booleans, ``none`` and lists are Python's own objects. Threads: none; data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from examples.embedding.errors import GuestError
from runtime.async_runtime import Future, Poll, Waker
from runtime.errors import CancellationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.embedding.errors import Place
    from examples.embedding.fiber import Fiber
    from runtime.async_runtime import TaskHandle

__all__ = (
    "UNSET",
    "Code",
    "Function",
    "Instruction",
    "Native",
    "Operation",
    "Slots",
    "TaskValue",
    "Value",
    "kind",
    "show",
)

Value: TypeAlias = Any  # Any: what a value may be shows only when the guest runs
Slots: TypeAlias = list[Any]  # the variables of one call; slot 0 is the surrounding call's slots
Operation: TypeAlias = "Callable[[Fiber, Instruction], Instruction | None]"

UNSET: Final = object()  # in a slot before its ``let`` has run
_DEEPEST: Final = 6  # lists inside lists that are shown


class Instruction:
    """One step of a guest program: ``run(fiber, self)`` does it and returns the step after it.

    There is no counter and no jump: the compiler has tied each step to its successor, and a
    branch keeps the other one as its operand. None for "cannot go on now": see `Fiber.poll`.
    """

    __slots__ = ("next", "operand", "place", "run")

    next: Instruction  # set when the function around it is complete

    def __init__(self, run: Operation, operand: object, place: Place) -> None:
        self.run = run
        self.operand: Any = operand  # Any: only `run` knows
        self.place = place


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """What a function literal is compiled to."""

    name: str
    arity: int
    unset: list[object]  # one `UNSET` for each variable that is no parameter
    entry: Instruction


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A guest function: code, and the variables around it."""

    code: Code
    outer: Slots | None


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """A function of the host.

    Attributes:
        call: Gets the fiber that calls and the arguments. If it returns a `Future`, the
            fiber waits for it.
        arity: Fewest and most arguments.
    """

    name: str
    call: Callable[..., Value]
    arity: tuple[int, int]


class TaskValue(Future[Value]):
    """A guest task as a guest value: what ``spawn`` gives and ``await`` takes.

    The fiber does not know it, so that a failed task nobody holds is let go, and reported.
    """

    __slots__ = ("handle", "name", "number")

    def __init__(self, handle: TaskHandle[Value], number: int, name: str) -> None:
        self.handle = handle
        self.number = number
        self.name = name

    def poll(self, waker: Waker) -> Poll[Value]:  # type: ignore[override]  # polled by fibers only
        """Look at the task."""
        try:
            return self.handle.poll(waker)
        except CancellationError as error:
            raise GuestError(f"{self!r} was cancelled") from error

    def cancel(self) -> bool:
        """Cancel the task."""
        return self.handle.cancel()

    def __repr__(self) -> str:
        return f"task {self.number} '{self.name}'"


_KINDS: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    type(None): "none",
    Function: "a function",
    Native: "a function",
    TaskValue: "a task",
}
_WORDS: Final[dict[Value, str]] = {True: "true", False: "false", None: "none"}


def kind(value: Value) -> str:
    """Return what *value* is, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


def show(value: Value, *, inside: int = 0) -> str:
    """Return *value* as ``print`` writes it; strings inside of lists are quoted."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, str):
        return f'"{value}"' if inside else value
    if isinstance(value, list):
        if inside >= _DEEPEST:  # it may even contain itself
            return "[...]"
        return f"[{', '.join(show(item, inside=inside + 1) for item in value)}]"
    if isinstance(value, (Function, Native)):
        return f"<fn {value.code.name if isinstance(value, Function) else value.name}>"
    return f"<{value!r}>" if isinstance(value, TaskValue) else str(value)
