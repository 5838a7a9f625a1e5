"""Ctrl-C as a request that a task can await, instead of an exception at any line.

Threads: the main thread alone gets signals; elsewhere this does nothing.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self, final

from runtime.async_runtime import Promise

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ("Interrupts",)


@final
class Interrupts:
    """Takes Ctrl-C over for the length of a block: twice; a third one is a `KeyboardInterrupt`.

    Attributes:
        asked: Resolved at the first one: please come to an end.
        urged: Resolved at the second one: at once.

    Somebody else's handler, or an ignored signal, is left as it is.
    """

    def __init__(self) -> None:
        self.asked: Promise[None] = Promise()
        self.urged: Promise[None] = Promise()
        self._installed = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self.asked.try_resolve(None) and not self.urged.try_resolve(None):
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
