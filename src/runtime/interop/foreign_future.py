"""A future of ours for work that somebody else's loop does.

Threads: any.
Source: interop-spec.md, section 5.1; ADR-012.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, final

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import ERROR, VALUE
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.reports import UnhandledError, log_unhandled, tell
from runtime.async_runtime.running import FREE_THREADED, full_fence

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ("ForeignFuture", "caller", "name_of")

T = TypeVar("T")


@final
class ForeignFuture(PromiseFuture[T]):
    """The read side of work elsewhere. Thread-safe.

    Args:
        who: The work in words, for the report of a failure that nobody read.
        frame: Whose call started it.
        cancel_on_abandon: Whether the work is cancelled when the last task that awaited this is.
    """

    __slots__ = ("_ask", "_asked", "_cancel_on_abandon", "_place", "_who")

    def __init__(self, who: str, frame: FrameType, *, cancel_on_abandon: bool) -> None:
        super().__init__()
        self._who = who
        self._place = (frame.f_code, frame.f_lasti)
        self._cancel_on_abandon = cancel_on_abandon
        # How to ask the work to stop; any thread may find it here, or comes too early and leaves
        # word in _asked: whoever comes second does it. To ask twice is to ask once.
        self._ask: Callable[[], object] | None = None
        self._asked = False

    def cancel(self) -> bool:
        """Settle as cancelled and ask the work to stop; False where it was settled before.

        The work may clean up, in its own loop, and its outcome is dropped.
        """
        cancelled = super().cancel()
        if cancelled:
            self._asked = True
            if FREE_THREADED:
                full_fence()
            ask = self._ask
            if ask is not None:
                ask()
        return cancelled

    def begun(self, ask: Callable[[], object]) -> None:
        """The work has begun; *ask* asks it to stop, from any thread."""
        self._ask = ask
        if FREE_THREADED:
            full_fence()
        if self._asked:
            ask()

    def settle_value(self, value: T) -> None:
        """The work is done. Dropped where the future was cancelled first."""
        self._ask = None
        self._settle(VALUE, value)

    def settle_error(self, error: BaseException) -> None:
        """The work has failed."""
        self._ask = None
        who, place = self._who, self._place

        def report(failure: Failure) -> None:
            tell(log_unhandled, UnhandledError(failure.error, who, place))

        failure = Failure(error, error.__traceback__, report)
        if not self._settle(ERROR, failure):
            failure.mark_observed()  # nobody waits for it any more

    def settle_cancelled(self) -> None:
        """The work was cancelled over there: readers get `CancellationError`."""
        self._ask = None
        super().cancel()

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled."""
        if self._cancel_on_abandon and not self._waiting():
            self.cancel()

    def __repr__(self) -> str:
        words = ("pending", "ready", "failed", "cancelled")
        return f"<ForeignFuture of {self._who}: {words[self._outcome]}>"


def caller(depth: int = 2) -> FrameType:
    """Return the frame of whoever called the function that calls this."""
    return sys._getframe(depth)


def name_of(work: Any) -> str:  # noqa: ANN401 - a coroutine, a function, a future
    """Return *work* in a few words."""
    name = getattr(work, "__qualname__", None)
    return repr(name) if isinstance(name, str) else repr(work)
