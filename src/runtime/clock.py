"""Where time comes from: seconds on a clock that never goes back."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("SYSTEM_CLOCK", "Clock", "SteppedClock", "SystemClock", "check_timeout")


class Clock(Protocol):
    """A source of the current time. Thread-safe."""

    def now(self) -> float:
        """Return the time in seconds; only differences mean anything."""
        ...


@runtime_checkable
class SteppedClock(Clock, Protocol):
    """A clock that somebody moves: it tells its listeners instead of being waited for."""

    def on_advance(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* after each move, on the mover's thread; return what ends that."""
        ...

    def idle(self, deadline: float) -> bool:
        """Nothing is left to do before *deadline*: move there and return True, or return False."""
        ...


class SystemClock:
    """The machine's monotonic clock: it does not know wall-clock changes."""

    now = staticmethod(time.monotonic)  # no Python frame between a hot path and the clock


SYSTEM_CLOCK: Final = SystemClock()


def check_timeout(name: str, value: float | None) -> float | None:
    """Return *value* where it is a span of time that makes sense.

    Args:
        name: The parameter's name, for the message.
        value: Seconds; 0 is allowed, ``math.inf`` means the same as None: no limit.

    Raises:
        TypeError: *value* is no number.
        ValueError: *value* is negative or NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name} must be a number of seconds or None, got {value!r} "
            f"({type(value).__name__}): pass a float"
        )
    if math.isnan(value) or value < 0:
        raise ValueError(f"{name} must be 0 or more seconds, got {value!r}: pass None for no limit")
    return None if value == math.inf else value
