"""Deadlines in order: a heap with lazy removal, and how what is due is called.

No thread and no lock: an executor uses it on its own thread, `timers.DeadlineQueue` under a lock.
Invariant: a timer that is not cancelled is called, whatever interrupts the calls of others.
Source: async-runtime-spec.md, section 7; ADR-005.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("Timer", "TimerHeap", "run_each")

_PURGE_FROM: Final = 64  # fewer dead entries than this are not worth a purge


class Timer(list[Any]):  # Any: [deadline, sequence, callback or None]
    """One deadline: a list, so that the heap compares it without calling Python code.

    The sequence number is unique, so the callback is never compared.
    """

    __slots__ = ("heap",)

    heap: TimerHeap

    def cancel(self) -> None:
        """Never call back. Thread-safe; what the callback holds is freed at once."""
        if self[2] is not None:
            self[2] = None
            if self[0] != math.inf:  # those are not in the heap
                self.heap.dead += 1  # a hint: two threads at once may lose one, no harm


class TimerHeap:
    """Timers in order of their deadlines; equal deadlines in order of arrival.

    Not thread-safe, except `Timer.cancel`.
    """

    __slots__ = ("_entries", "_late", "_purging", "_sequence", "_taken", "dead")

    def __init__(self) -> None:
        self._entries: list[Timer] = []  # always the same list: take_due goes through it
        self._late: list[Timer] = []  # added by a signal handler that interrupted a purge
        self._purging = False
        self._taken: Timer | None = None  # out of the heap, and about to be called
        self._sequence = itertools.count()
        self.dead = 0

    def __len__(self) -> int:
        return len(self._entries) + (self._taken is not None)

    def add(self, deadline: float, callback: Callable[[], object]) -> Timer:
        """Keep *callback* until *deadline*, a point on the owner's clock."""
        timer = Timer((deadline, next(self._sequence), callback))
        timer.heap = self
        if deadline == math.inf:
            return timer
        if self._purging:
            self._late.append(timer)
            return timer
        if self.dead > _PURGE_FROM and self.dead * 2 > len(self._entries):
            self._purge()
        heapq.heappush(self._entries, timer)
        return timer

    def next_deadline(self) -> float | None:
        """Return the earliest deadline that still counts, or None."""
        self._restore()
        entries = self._entries
        while entries:
            head = entries[0]
            if head[2] is not None:
                return float(head[0])
            heapq.heappop(entries)
            self.dead -= 1
        return None

    def may_be_due(self, now: float) -> bool:
        """Tell whether a deadline may have come by *now*. Thread-safe; may err on the safe side."""
        try:
            return bool(self._entries[0][0] <= now)
        except IndexError:
            return False

    def take_due(self, now: float, before: int) -> Timer | None:
        """Take out the first one that is due at *now*; of those due just now, before *before*.

        So a callback that asks for no time at all has to wait for the next look.
        Invariant: whatever interrupts, it is in the heap or in _taken until it was called.
        """
        self._restore()
        entries = self._entries
        while entries and (entries[0][0] < now or entries[0] < [now, before]):
            timer = self._taken = entries[0]
            heapq.heappop(entries)
            if timer[2] is not None:
                return timer
            self._taken = None
            self.dead -= 1
        return None

    def given_out(self) -> None:
        """Have whoever took the last one out answer for it, interrupted or not."""
        self._taken = None

    def mark(self) -> int:
        """Return a number that is greater than those of all that were added so far."""
        return next(self._sequence)

    def run_due(self, now: float) -> None:
        """Call back what is due at *now*, in order; see `run_each`."""
        before = self.mark()
        run_each(iter(lambda: self.take_due(now, before), None), self.put_back)

    def put_back(self, timer: Timer, callback: Callable[[], object]) -> None:
        """Keep *callback* of a *timer* that was taken out: it is due as before."""
        timer[2] = callback
        heapq.heappush(self._entries, timer)

    def _restore(self) -> None:
        """Put back what was taken out by somebody who was interrupted before the call."""
        timer, self._taken = self._taken, None
        if timer is not None and timer[2] is not None and not _holds(self._entries, timer):
            heapq.heappush(self._entries, timer)

    def clear(self) -> None:
        """Drop all, at the end of a loop; futures (`timed`) may have others who wait for them."""
        self._restore()
        left = [timer[2] for timer in self._entries]
        self._entries.clear()
        self.dead = 0
        for callback in left:
            loop_closed = getattr(getattr(callback, "__self__", None), "_loop_closed", None)
            if loop_closed is not None:
                try:
                    loop_closed()
                except Exception:  # noqa: BLE001 - reported: closing must come to its end
                    logger(__name__).exception("nobody watches the deadline of %r", callback)

    def _purge(self) -> None:
        """Drop the cancelled ones: memory stays in proportion to what is alive."""
        self._purging = True
        try:
            alive = [timer for timer in self._entries if timer[2] is not None]
            heapq.heapify(alive)
            self._entries[:] = alive
            self.dead = 0
        finally:
            self._purging = False
        while self._late:
            heapq.heappush(self._entries, self._late.pop())


def _holds(entries: list[Timer], timer: Timer) -> bool:
    return any(entry is timer for entry in entries)


class _Again:
    """A callback that was interrupted, and is called once more."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __call__(self) -> object:
        return self.call()


def run_each(
    timers: Iterable[Timer], put_back: Callable[[Timer, Callable[[], object]], None]
) -> None:
    """Call all of them, whatever some raise: as `wake_each`, for what came due together.

    A callback that a `KeyboardInterrupt` or its kind ends is called once more: a signal handler
    may have raised before it did anything.
    """
    interrupt: BaseException | None = None
    for timer in timers:
        callback = timer[2]
        try:
            timer[2] = None
            if callback is not None:  # else cancelled just now
                callback()
        except Exception:  # noqa: BLE001 - reported
            logger(__name__).exception("the timer's callback %r raised; others still run", callback)
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error if interrupt is None else interrupt
            if callback is not None and not isinstance(callback, _Again):
                put_back(timer, _Again(callback))
    if interrupt is not None:
        raise interrupt
