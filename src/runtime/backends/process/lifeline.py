"""The pipe that ends a process when the one that started it dies, whatever either does.

The parent has the only write end and never writes; the child has the read end. When the parent
is gone, however that came, the kernel closes the write end and sends the child SIGKILL: also one
that is in a loop of C code. Other than the parent-death signal it follows the parent, not the
thread that started the child, and it goes past a template.

Invariant: nothing but the parent holds the write end. It is close-on-exec, and a forked copy of
the parent closes it.
Where signals for a descriptor cannot be chosen (not Linux), the signal is SIGIO and its handler
ends the process: there a loop of C code runs on until it returns.
Source: ADR-009.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

__all__ = ("LIFELINE_STATUS", "arm_lifeline")

LIFELINE_STATUS: Final = (
    128 + 9
)  # of a process that finds its parent gone: as a shell tells SIGKILL


def arm_lifeline(descriptor: int) -> None:
    """From now on this process ends when the write end of *descriptor*'s pipe is closed.

    Does not return where it is closed already. A child that this process forks is not affected.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
    else:
        signal.signal(signal.SIGIO, _on_signal)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    # The signal tells of what happens from here on; what happened before is seen here.
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if waiting.poll(0):
        _end()


def _on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as `signal` calls it
    _end()


def _end() -> NoReturn:
    os._exit(LIFELINE_STATUS)
