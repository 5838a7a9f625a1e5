"""How often children may die, and which calls killed them.

Protected by the pool's lock. Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from runtime.errors import QuarantinedJobError, RestartBudgetError

if TYPE_CHECKING:
    from runtime.backends.process.packing import Packed
    from runtime.backends.process_options import ProcessSettings

__all__ = ("Quarantine", "RestartBudget")

_CALLS: Final = 256  # so many calls that killed a child are remembered, the latest


class RestartBudget:
    """Counts crashes within a window of time.

    Args:
        settings: How many are borne, and within which time.
    """

    __slots__ = ("_ends", "_settings", "crashes")

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._ends: deque[tuple[float, str]] = deque()
        self.crashes = 0  # of all time

    def note(self, now: float, what: str) -> RestartBudgetError | None:
        """A child has crashed, as *what* tells; return the error where that was one too many."""
        settings, ends = self._settings, self._ends
        self.crashes += 1
        ends.append((now, what))
        while ends and ends[0][0] <= now - settings.restart_window:
            ends.popleft()
        if len(ends) <= settings.max_restarts:
            return None
        return RestartBudgetError(
            settings.name, settings.max_restarts, settings.restart_window, [end for _, end in ends]
        )


class Quarantine:
    """Remembers which calls killed how many children; `is_needed` is False until one did.

    Args:
        limit: Children that one call may kill before it is refused.
    """

    __slots__ = ("_calls", "_limit", "is_needed")

    def __init__(self, limit: int) -> None:
        self._calls: dict[bytes, list[str]] = {}
        self._limit = limit
        self.is_needed = False

    def note(self, packed: Packed, what: str) -> int:
        """This call was running when its child crashed, as *what* tells; return how often so."""
        mark = _mark(packed)
        history = self._calls.pop(mark, [])
        history.append(what)
        self._calls[mark] = history[-self._limit :]
        self.is_needed = True
        if len(self._calls) > _CALLS:
            del self._calls[next(iter(self._calls))]
        return len(history)

    def forgive(self, packed: Packed) -> None:
        """This call has come to an end in a child that lives on."""
        self._calls.pop(_mark(packed), None)
        self.is_needed = bool(self._calls)

    def check(self, packed: Packed, label: str) -> QuarantinedJobError | None:
        """Return why this call is not to be run, or None."""
        history = self._calls.get(_mark(packed), [])
        if len(history) < self._limit:
            return None
        return QuarantinedJobError(label, len(history), history)


def _mark(packed: Packed) -> bytes:
    """Return what tells a call from others: its function and its arguments."""
    digest = blake2b(packed.function, digest_size=16)
    digest.update(packed.call)
    return digest.digest()
