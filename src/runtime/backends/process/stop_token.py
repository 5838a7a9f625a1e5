"""The signal that asks the job of a child to stop.

Source: process-wire-spec.md, section 4; ADR-009.
"""

from __future__ import annotations

import signal
from typing import Final

__all__ = ("TOKEN_SIGNAL",)

# Its handler in the child sees on the page which job is meant.
TOKEN_SIGNAL: Final[int] = (
    signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2  # no RT on macOS
)
