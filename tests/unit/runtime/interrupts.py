"""Ctrl-C at a chosen step of the code under test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("interrupted",)


def interrupted(action: Callable[[], object], tracer: Callable[..., Any]) -> bool:
    """Call *action* under *tracer*; tell whether that ended it by a `KeyboardInterrupt`.

    *tracer* is a trace function (see `sys.settrace`) that raises at its step, if that is reached.
    """
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
