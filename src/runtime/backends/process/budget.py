"""How often children may die, and which calls killed them.

Protected by the pool's lock, but for `Quarantine.check`, which looks at each thing once.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from runtime.errors import QuarantinedJobError, RestartBudgetError

if TYPE_CHECKING:
    from runtime.backends.process.packing import Packed
    from runtime.backends.process_options import ProcessSettings

__all__ = ("Quarantine", "RestartBudget", "mark_of")

_CALLS: Final = 256  # so many calls that killed a child are remembered, the latest
_SHORT: Final = 16 * 1024  # bytes of a call that may be looked at with the pool's lock held


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

    __slots__ = ("_calls", "_lengths", "_limit", "_shapes", "is_needed")

    def __init__(self, limit: int) -> None:
        self._calls: dict[bytes, list[str]] = {}
        # How long the parts of these calls are, the latest of each length: most calls are told
        # apart by that.
        self._shapes: dict[bytes, tuple[int, int, int]] = {}
        self._lengths: frozenset[tuple[int, int, int]] = frozenset()  # the same ones
        self._limit = limit
        self.is_needed = False

    def note(self, packed: Packed, what: str) -> int:
        """This call was running when its child crashed, as *what* tells; return how often so."""
        mark = mark_of(packed)
        history = self._calls.pop(mark, [])
        history.append(what)
        self._calls[mark] = history[-self._limit :]
        self.is_needed = True
        if len(self._calls) > _CALLS:
            del self._calls[next(iter(self._calls))]
        self._keep({**self._shapes, mark: _shape(packed)})
        return len(history)

    def forgive(self, packed: Packed) -> None:
        """This call has come to an end in a child that lives on."""
        if not self.may_know(packed):
            return
        if packed.digest is None and sum(_shape(packed)) > _SHORT:
            return  # it came before the first crash, and it would take long to find out
        if self._calls.pop(mark_of(packed), None) is not None:
            self._keep(self._shapes)
            self.is_needed = bool(self._calls)

    def may_know(self, packed: Packed) -> bool:
        """Tell whether this may be one of these calls; quickly, and without the lock."""
        return _shape(packed) in self._lengths

    def _keep(self, shapes: dict[bytes, tuple[int, int, int]]) -> None:
        self._shapes = {mark: shape for mark, shape in shapes.items() if mark in self._calls}
        self._lengths = frozenset(self._shapes.values())

    def check(self, packed: Packed, label: str) -> QuarantinedJobError | None:
        """Return why this call is not to be run, or None. May be long: without the pool's lock."""
        if not self.may_know(packed):
            return None
        history = self._calls.get(mark_of(packed), [])
        if len(history) < self._limit:
            return None
        return QuarantinedJobError(label, len(history), history)


def mark_of(packed: Packed) -> bytes:
    """Return what tells a call from others: its function and its arguments, large ones included.

    It is kept with *packed*. The first time takes long where that is long: not under the lock.
    """
    if packed.digest is None:
        digest = blake2b(repr(_shape(packed)).encode(), digest_size=16)
        digest.update(packed.function)
        digest.update(packed.call)
        if packed.attachment is not None:
            with suppress(OSError):  # closed meanwhile: the job is over, and nobody asks any more
                for piece in packed.attachment.pieces():
                    digest.update(piece)
        packed.digest = digest.digest()
    return packed.digest


def _shape(packed: Packed) -> tuple[int, int, int]:
    size = 0 if packed.attachment is None else packed.attachment.size
    return len(packed.function), len(packed.call), size
