"""Is there room on the stack for what must not be cut off in the middle?

Near the recursion limit any call may raise `RecursionError`, also one between two steps of ours
that belong together. So what cannot be taken back looks first whether its own calls will have room.
Source: worker-api-spec.md, section 6.
"""

from __future__ import annotations

from typing import Final

__all__ = ("check_headroom", "has_headroom")

_FRAMES: Final = 40  # more than our deepest call, up to where the user's function begins


def check_headroom(frames: int = _FRAMES) -> None:
    """Return where *frames* more calls have room on this thread's stack.

    Raises:
        RecursionError: they do not.
    """
    if frames:
        check_headroom(frames - 1)


def has_headroom() -> bool:
    """Tell whether `check_headroom` would return."""
    try:
        check_headroom()
    except RecursionError:
        return False
    return True
