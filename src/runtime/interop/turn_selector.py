"""The selector of a hosted loop of asyncio: it knows when the loop would sleep.

Threads: those of the loop.
Source: interop-spec.md, section 4; ADR-012.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("TurnSelector",)


@final
class TurnSelector(selectors.BaseSelector):
    """The system's selector. Where the loop would sleep in it, it stops the loop instead.

    Attributes:
        descriptor: Readable while `select` has something.
        stop: Stops the loop; set by it.
        rounds: How many are left in this turn.
        timeout: For how long the loop would have slept.
        rung: Something was asked for since the last round.
        sleeps: The loop runs by itself, so it may sleep: there are no turns.

    Raises:
        NotImplementedError: the system has no selector that can itself be waited for (Windows).
    """

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        fileno = getattr(self._real, "fileno", None)
        if fileno is None:
            self._real.close()
            raise NotImplementedError("hosting asyncio needs epoll or kqueue: use from_asyncio()")
        self.descriptor: int = fileno()
        self.stop: Callable[[], object] = int
        self.rounds = 0
        self.sleeps = False
        self.timeout: float | None = 0.0
        self.rung = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look, and stop the loop where it would sleep, or where the turn is over."""
        if self.sleeps:
            return self._real.select(timeout)
        self.rung = False
        self.rounds -= 1
        found = self._real.select(0)
        self.timeout = 0.0 if found else timeout
        if self.rounds <= 0 or (not found and (timeout is None or timeout > 0)):
            self.stop()
        return found

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as in selectors
        """See `selectors.BaseSelector`."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - as above
        """See `selectors.BaseSelector`."""
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as above
        """See `selectors.BaseSelector`."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:  # noqa: ANN401 - as above
        """See `selectors.BaseSelector`."""
        return self._real.get_map()

    def close(self) -> None:
        """See `selectors.BaseSelector`."""
        self._real.close()
