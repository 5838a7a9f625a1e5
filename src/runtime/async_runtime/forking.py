"""What a forked child must not share with its parent, and the hook that sees to it.

In the child: locks that another thread of the parent held are new; deadlines and the shared
`Runtime` are gone, the next use makes its own; descriptors of inherited executors are closed,
since reading them would take the parent's wake-ups. An inherited executor may be closed or
dropped; the child makes its own. The parent is not touched.
Source: async-runtime-spec.md, section 9.2; ADR-007.
"""

from __future__ import annotations

import os
from typing import Final

from runtime.async_runtime import (
    callback_thread,
    outcome,
    parking,
    running,
    runtime,
    task,
    timers,
)

__all__ = ("reset_after_fork",)

_RESETS: Final = (
    running.reset_after_fork,
    outcome.reset_after_fork,
    task.reset_after_fork,
    timers.reset_after_fork,
    callback_thread.reset_after_fork,
    parking.reset_after_fork,
    runtime.reset_after_fork,
)


def reset_after_fork() -> None:
    """Make the async runtime of a forked child whole. Called by the hook, right after the fork."""
    for reset in _RESETS:
        reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_after_fork)
