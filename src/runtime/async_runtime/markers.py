"""What stands in the ready queue beside tasks: markers, which act when their turn comes.

They are the same for all executors, and know none: an executor that is dropped is freed at once.
Source: async-runtime-spec.md, section 6; ADR-002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.running import running

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Leave", "Marker")


class Leave(BaseException):
    """Ends `ReadyLoop._drain` from inside a marker; never seen by a task."""

    def __init__(self, why: int) -> None:
        super().__init__()
        self.why = why


class Marker:
    """Stands in the ready queue like a task and calls ``func(loop)`` when its turn comes."""

    __slots__ = ("_arg", "_context", "_func", "_outcome", "_resume", "_woken", "send")

    def __init__(self, func: Callable[[Any], None]) -> None:  # Any: a ReadyLoop, defined later
        self._func = func
        self._outcome = 0
        self._woken = False
        self.send = self._arg = None
        self._resume = self._context = self

    def run(self, _send: object, _arg: object) -> Poll[Any]:
        """What a context would do for a task."""
        loop: Any = running.executor  # Any: as func
        loop._idle += 1
        self._func(loop)
        return PENDING
