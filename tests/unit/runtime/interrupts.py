"""Ctrl-C at a chosen step of the code under test."""

from __future__ import annotations

import dis
import gc
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ("AtBytecode", "AtSignals", "interrupted")

# The two ends of a handler. No exception can come from them, and one that a trace function raises
# there makes the thread handle the last one for ever: it becomes the context of all later ones.
_ENDS_OF_HANDLERS: Final = frozenset({dis.opmap["PUSH_EXC_INFO"], dis.opmap["POP_EXCEPT"]})
# After these the interpreter looks for signals: nowhere else may Ctrl-C come.
_LOOKS: Final = frozenset(
    number
    for name, number in dis.opmap.items()
    if name.startswith(("CALL", "JUMP_BACKWARD", "RESUME"))
)


class AtBytecode:
    """A trace function that raises `KeyboardInterrupt` before one bytecode of the code under test.

    Args:
        step: Which of them; the first one is 1.
        is_meant: Tells whether a frame is of the code under test.
    """

    def __init__(self, step: int, is_meant: Callable[[FrameType], bool]) -> None:
        self._left = step
        self._is_meant = is_meant

    def __call__(self, frame: FrameType, event: str, _arg: object) -> AtBytecode | None:
        """Count what is done by the code under test itself."""
        if not self._is_meant(frame):
            return None
        frame.f_trace = self  # from 3.13 on before f_trace_opcodes, or that has no effect
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] not in _ENDS_OF_HANDLERS:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self


class AtSignals(AtBytecode):
    """Ctrl-C where the interpreter looks for it: after calls, jumps back, and at beginnings.

    Elsewhere none can come; one raised there all the same may leave a lock taken: see `locking`.
    """

    def __init__(self, step: int, is_meant: Callable[[FrameType], bool]) -> None:
        super().__init__(step, is_meant)
        self._before: dict[FrameType, int] = {}

    def __call__(self, frame: FrameType, event: str, arg: object) -> AtBytecode | None:
        """As `AtBytecode`, at fewer places."""
        if event != "opcode":
            return super().__call__(frame, event, arg)
        before = self._before.get(frame, dis.opmap["RESUME"])
        self._before[frame] = frame.f_code.co_code[frame.f_lasti]
        return super().__call__(frame, event, arg) if before in _LOOKS else self


def interrupted(action: Callable[[], object], tracer: Callable[..., Any]) -> bool:
    """Call *action* under *tracer*; tell whether that ended it by a `KeyboardInterrupt`.

    *tracer* is a trace function (see `sys.settrace`) that raises at its step, if that is reached.
    """
    before, handled = sys.gettrace(), sys.exception()
    own = inspect.currentframe()
    assert own is not None
    collects = gc.isenabled()
    gc.disable()  # or an unrelated finalizer may be what is interrupted, and nobody hears of that
    own.f_trace_opcodes = True  # 3.12 asks, as tracing begins, whether any frame wants them
    sys.settrace(tracer)
    try:
        action()
    except KeyboardInterrupt:
        is_interrupted = True
    else:
        is_interrupted = False
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    assert sys.exception() is handled, "raised where no exception can come from"
    return is_interrupted
