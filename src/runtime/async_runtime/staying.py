"""What stays in the process that made it: futures, promises, tasks, executors, handles.

A copy elsewhere would be settled by nobody: whoever waited for it would wait for ever.
Threads: any; no state.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ("stays_here",)


def stays_here(self: object) -> NoReturn:
    """Take the place of ``__reduce__``, which pickling and copying call.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        f"{self!r} stays in the process that made it, and there is but one of it: "
        "pass the value that it gives, or make it where it is used"
    )
