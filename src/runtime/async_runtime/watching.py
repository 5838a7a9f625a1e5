"""Which descriptors the tasks of one executor wait for, in a selector of its own.

Owns: the selector, and who waits for what. Made when somebody first waits for a descriptor, or
a host asks for one; an executor that never has either has no selector.
Threads: the loop's, `drop` apart.
Invariant: the selector knows a descriptor exactly while somebody waits for it, so one that is
closed when nobody waits leaves nothing behind, and its number may be given to another file.
Source: async-runtime-spec.md, section 7.5; ADR-012.
"""

from __future__ import annotations

import errno
import selectors
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from runtime.errors import DescriptorClosedError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Watched", "Watcher")

_LONGEST: Final = 86400.0  # seconds in one call: systems limit it


class Watched(Protocol):
    """Who waits for a descriptor."""

    descriptor: int
    event: int  # a bit of `selectors`

    def settle_ready(self) -> None:
        """The descriptor is ready."""
        ...

    def settle_closed(self, error: Exception) -> None:
        """It never will be."""
        ...


class Watcher:
    """The selector of one executor.

    Args:
        bell: A descriptor that becomes readable when the loop must wake up; always watched.
    """

    __slots__ = ("_dropped", "_selector", "_waits", "bell", "rung")

    def __init__(self, bell: int) -> None:
        self.bell = bell
        self.rung = False  # whether the last look found the bell ringing
        self._selector = selectors.DefaultSelector()
        self._selector.register(bell, selectors.EVENT_READ)
        self._waits: dict[int, list[Watched]] = {}
        self._dropped: deque[Watched] = deque()  # by other threads; not taken out yet

    @property
    def is_watching(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waits)

    def fileno(self) -> int | None:
        """Return a descriptor that is readable while `select` has something; None: no such."""
        fileno = getattr(self._selector, "fileno", None)  # epoll and kqueue have one
        return None if fileno is None else int(fileno())

    def add(self, wait: Watched) -> None:
        """Watch for *wait*.

        Raises:
            OSError: its descriptor is closed, nothing that can be waited for, or our own.
            ValueError: its descriptor is no such number.
        """
        self._sweep()
        descriptor = wait.descriptor
        if descriptor in (self.bell, self.fileno()):
            raise OSError(
                errno.EBADF,
                f"descriptor {descriptor} is the executor's own: give one of yours; where it was "
                "yours, it was closed before somebody waited for it",
            )
        waits = self._waits.get(descriptor)
        if waits is None:
            self._selector.register(descriptor, wait.event)
            self._waits[descriptor] = [wait]
            return
        waits.append(wait)
        # Anew, not modified: the system forgets one that was closed meanwhile, and then the number
        # stands for another file.
        self._selector.unregister(descriptor)
        try:
            self._selector.register(descriptor, _events(waits))
        except (OSError, ValueError):
            waits.remove(wait)
            self.close_descriptor(descriptor, registered=False)
            raise

    def remove(self, wait: Watched) -> None:
        """Do not watch for *wait* any more; does nothing where that is so."""
        waits = self._waits.get(wait.descriptor)
        if waits is not None and wait in waits:
            waits.remove(wait)
            self._narrow(wait.descriptor, waits)

    def drop(self, wait: Watched) -> None:
        """Do the same as `remove`, at the loop's next look. Thread-safe."""
        self._dropped.append(wait)

    def select(self, timeout: float | None) -> Sequence[tuple[int, int]]:
        """Wait for *timeout* seconds at most (None: no limit); return who is ready for what."""
        self._sweep()
        limit = None if timeout is None else min(timeout, _LONGEST)
        try:
            found = self._selector.select(limit)
        except (OSError, ValueError):  # select() of systems with nothing better: one is closed
            self.rung = False
            return self._bad()
        ready = [(key.fd, events) for key, events in found if key.fd != self.bell]
        self.rung = len(ready) < len(found)
        return ready

    def settle(self, ready: Sequence[tuple[int, int]]) -> bool:
        """Settle those who wait for what is *ready*; tell whether there were any."""
        settled = False
        for descriptor, events in ready:
            waits = self._waits.get(descriptor, [])
            due = [wait for wait in waits if wait.event & events]
            waits[:] = [wait for wait in waits if not wait.event & events]
            if due:
                self._narrow(descriptor, waits)
            for wait in due:
                settled = True
                wait.settle_ready()
        return settled

    def close_descriptor(self, descriptor: int, *, registered: bool = True) -> bool:
        """Tell those who wait for *descriptor* that it is closed, or will be in a moment."""
        waits = self._waits.pop(descriptor, None)
        if waits is None:
            return False
        if registered:
            self._selector.unregister(descriptor)
        for wait in waits:
            wait.settle_closed(DescriptorClosedError(descriptor))
        return True

    def close(self) -> None:
        """Give the selector back; who still waits is told."""
        for descriptor in list(self._waits):
            self.close_descriptor(descriptor, registered=False)
        self._selector.close()

    def _narrow(self, descriptor: int, waits: list[Watched]) -> None:
        """Watch for what is left of *waits*."""
        if not waits:
            del self._waits[descriptor]
            self._selector.unregister(descriptor)
            return
        try:
            self._selector.modify(descriptor, _events(waits))
        except (OSError, ValueError, KeyError):  # it was closed meanwhile
            self.close_descriptor(descriptor, registered=False)

    def _sweep(self) -> None:
        while self._dropped:
            self.remove(self._dropped.popleft())

    def _bad(self) -> Sequence[tuple[int, int]]:
        """Find the descriptors that were closed under us; who waits for them is told."""
        for descriptor in list(self._waits):
            with selectors.SelectSelector() as probe:
                try:
                    probe.register(descriptor, selectors.EVENT_READ)
                    probe.select(0.0)
                except (OSError, ValueError):
                    self.close_descriptor(descriptor)
        return ()


def _events(waits: list[Watched]) -> int:
    events = 0
    for wait in waits:
        events |= wait.event
    return events
