"""What each instruction does; every function here is the ``run`` of some `Instruction`.

An operation works on the fiber's value stack and returns the next instruction. It raises
`GuestError` where the language forbids what it was asked for; the fiber adds where that was.
Threads: that of the executor that polls the fiber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from examples.embedding.errors import GuestError
from examples.embedding.values import UNSET, Function, Instruction, Native, kind, show
from runtime.async_runtime import Future

if TYPE_CHECKING:
    from examples.embedding.fiber import Fiber
    from examples.embedding.values import Value

__all__ = (
    "branch",
    "branch_and",
    "branch_or",
    "call",
    "constant",
    "drop",
    "enter_try",
    "finish",
    "get_item",
    "jump",
    "leave_try",
    "load",
    "load_outer",
    "make_function",
    "make_list",
    "return_",
    "set_item",
    "spawn",
    "store",
    "store_outer",
    "throw",
    "wait",
)

_MAX_DEPTH: Final = 200_000  # calls; a guest that recurses for ever must not eat the memory
_TOO_EARLY: Final = "this variable is used before its let"
_READABLE: Final = frozenset({list, str})
_WRITABLE: Final = frozenset({list})


# ---- values and variables -----------------------------------------------------------------


def constant(fiber: Fiber, at: Instruction) -> Instruction:
    """Push the operand."""
    fiber.stack.append(at.operand)
    return at.next


def drop(fiber: Fiber, at: Instruction) -> Instruction:
    """Forget the top."""
    del fiber.stack[-1]
    return at.next


def load(fiber: Fiber, at: Instruction) -> Instruction:
    """Push a variable of this call."""
    value = fiber.slots[at.operand]
    if value is UNSET:
        raise GuestError(_TOO_EARLY)
    fiber.stack.append(value)
    return at.next


def load_outer(fiber: Fiber, at: Instruction) -> Instruction:
    """Push a variable of a call around this one, *depth* functions out."""
    depth, slot = at.operand
    slots = fiber.slots
    for _ in range(depth):
        slots = slots[0]
    value = slots[slot]
    if value is UNSET:
        raise GuestError(_TOO_EARLY)
    fiber.stack.append(value)
    return at.next


def store(fiber: Fiber, at: Instruction) -> Instruction:
    """Pop into a variable of this call."""
    fiber.slots[at.operand] = fiber.stack.pop()
    return at.next


def store_outer(fiber: Fiber, at: Instruction) -> Instruction:
    """Pop into a variable of a call around this one."""
    depth, slot = at.operand
    slots = fiber.slots
    for _ in range(depth):
        slots = slots[0]
    slots[slot] = fiber.stack.pop()
    return at.next


def make_list(fiber: Fiber, at: Instruction) -> Instruction:
    """Replace the topmost values by a list of them."""
    start = len(fiber.stack) - at.operand
    fiber.stack[start:] = [fiber.stack[start:]]
    return at.next


def make_function(fiber: Fiber, at: Instruction) -> Instruction:
    """Push a function that sees the variables of this call."""
    fiber.stack.append(Function(at.operand, fiber.slots))
    return at.next


def get_item(fiber: Fiber, at: Instruction) -> Instruction:
    """Replace a list (or string) and an index by the element."""
    index = fiber.stack.pop()
    target = fiber.stack[-1]
    _check_index(target, index, _READABLE)
    fiber.stack[-1] = target[index]
    return at.next


def set_item(fiber: Fiber, at: Instruction) -> Instruction:
    """Pop a value, an index and a list; put the value there."""
    value, index, target = fiber.stack.pop(), fiber.stack.pop(), fiber.stack.pop()
    _check_index(target, index, _WRITABLE)
    target[index] = value
    return at.next


def _check_index(target: Value, index: Value, kinds: frozenset[type]) -> None:
    if type(target) not in kinds:
        raise GuestError(f"{kind(target)} has no elements to use like this")
    if type(index) is not int:
        raise GuestError(f"an index is a whole number, got {kind(index)}")
    if not 0 <= index < len(target):
        raise GuestError(f"index {index} is outside of 0..{len(target) - 1}")


# ---- control ------------------------------------------------------------------------------


def jump(_fiber: Fiber, at: Instruction) -> Instruction:
    """Never runs: the compiler ties whatever leads here to the target."""
    return at.next


def branch(fiber: Fiber, at: Instruction) -> Instruction:
    """Pop; go on where it is true, elsewhere where it is not."""
    return at.next if fiber.stack.pop() else at.operand


def branch_and(fiber: Fiber, at: Instruction) -> Instruction:
    """Skip the right side, and keep the left as the result, where it is false."""
    if not fiber.stack[-1]:
        return at.operand  # type: ignore[no-any-return]  # a linked label
    del fiber.stack[-1]
    return at.next


def branch_or(fiber: Fiber, at: Instruction) -> Instruction:
    """Skip the right side, and keep the left as the result, where it is true."""
    if fiber.stack[-1]:
        return at.operand  # type: ignore[no-any-return]  # a linked label
    del fiber.stack[-1]
    return at.next


def call(fiber: Fiber, at: Instruction) -> Instruction:
    """Call what lies under the arguments; the operand is how many there are."""
    stack = fiber.stack
    start = len(stack) - at.operand
    arguments = stack[start:]
    callee = stack[start - 1]
    del stack[start - 1 :]
    if type(callee) is Function:
        code = callee.code
        if at.operand != code.arity:
            raise _wrong_count(code.name, str(code.arity), at.operand)
        if len(fiber.frames) >= _MAX_DEPTH:
            raise GuestError(f"{code.name} is called more than {_MAX_DEPTH} calls deep")
        fiber.frames.append((at, fiber.slots))
        fiber.slots = [callee.outer, *arguments, *code.unset]
        return code.entry
    if type(callee) is not Native:
        raise GuestError(f"cannot call {kind(callee)}")
    fewest, most = callee.arity
    if not fewest <= at.operand <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} or more"
        raise _wrong_count(callee.name, wanted, at.operand)
    result = callee.call(fiber, *arguments)
    stack.append(result)
    if not isinstance(result, Future):
        return at.next
    pause = Instruction(wait, None, at.place)
    pause.next = at.next
    return pause


def _wrong_count(name: str, wanted: str, given: int) -> GuestError:
    return GuestError(f"{name} takes {wanted} argument(s), got {given}")


def return_(fiber: Fiber, _at: Instruction) -> Instruction:
    """Go back to the caller; the result lies on the stack already."""
    back, fiber.slots = fiber.frames.pop()
    return back.next


def finish(fiber: Fiber, _at: Instruction) -> None:
    """End the fiber: the first call has returned."""
    fiber.end(fiber.stack.pop())


# ---- errors -------------------------------------------------------------------------------


def throw(fiber: Fiber, _at: Instruction) -> Instruction:
    """Raise the top."""
    value = fiber.stack.pop()
    raise GuestError(value, show(value))


def enter_try(fiber: Fiber, at: Instruction) -> Instruction:
    """From here on an error goes to the operand, with frames and stack as they are now."""
    fiber.handlers.append((at.operand, len(fiber.frames), len(fiber.stack)))
    return at.next


def leave_try(fiber: Fiber, at: Instruction) -> Instruction:
    """The innermost ``try`` is over."""
    del fiber.handlers[-1]
    return at.next


# ---- tasks --------------------------------------------------------------------------------


def spawn(fiber: Fiber, at: Instruction) -> Instruction:
    """As `call`, in a task of its own; push the task."""
    start = len(fiber.stack) - at.operand - 1
    fiber.stack[start:] = [fiber.world.spawn(fiber.stack[start:], at.place)]
    return at.next


def wait(fiber: Fiber, at: Instruction) -> Instruction | None:
    """Replace the future on top by its value; while it is pending, be one's own successor."""
    future = fiber.stack[-1]
    if not isinstance(future, Future):
        raise GuestError(f"await needs a task, got {kind(future)}")
    polled = future.poll(fiber.waker)
    if polled.is_pending():
        fiber.suspend(at)
        return None
    fiber.stack[-1] = polled.value
    return at.next
