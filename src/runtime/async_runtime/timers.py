"""Deadlines: a heap with lazy removal, and a thread that watches one where no loop does.

`TimerHeap` has no thread and no lock: an executor uses it on its own thread.
`DeadlineQueue` is a heap under a lock with one thread, started when first needed, that sleeps
until the earliest deadline: worker timeouts, and `Future.timeout` outside of executors.
Source: async-runtime-spec.md, section 7; ADR-005.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from runtime.clock import SYSTEM_CLOCK, Clock, SteppedClock
from runtime.locking import taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = (
    "DeadlineQueue",
    "Timer",
    "TimerHeap",
    "reset_after_fork",
    "run_each",
    "shared_deadlines",
)

_PURGE_FROM: Final = 64  # fewer dead entries than this are not worth a purge
# The first sleep of the watcher's park; longer ones are cut: a lock takes no more.
_FAR: Final = threading.TIMEOUT_MAX / 2
_LINGER: Final = 2.0  # seconds that the watcher stays when there is nothing to watch


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

    __slots__ = ("_entries", "_late", "_purging", "_sequence", "dead")

    def __init__(self) -> None:
        self._entries: list[Timer] = []  # always the same list: pop_due goes through it
        self._late: list[Timer] = []  # added by a signal handler that interrupted a purge
        self._purging = False
        self._sequence = itertools.count()
        self.dead = 0

    def __len__(self) -> int:
        return len(self._entries)

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

    def pop_due(self, now: float) -> list[Callable[[], object]]:
        """Take out what is due at *now*, in order."""
        due: list[Callable[[], object]] = []
        entries = self._entries
        while entries and entries[0][0] <= now:
            timer = heapq.heappop(entries)
            callback, timer[2] = timer[2], None
            if callback is None:
                self.dead -= 1
            else:
                due.append(callback)
        return due

    def clear(self) -> None:
        """Drop all."""
        self._entries.clear()
        self.dead = 0

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


def run_each(callbacks: Iterable[Callable[[], object]]) -> None:
    """Call all of them, whatever some raise: as `wake_each`, for what came due together."""
    interrupt: BaseException | None = None
    for callback in callbacks:
        try:
            callback()
        except Exception:  # noqa: BLE001 - reported
            logger(__name__).exception("the timer's callback %r raised; others still run", callback)
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error if interrupt is None else interrupt
    if interrupt is not None:
        raise interrupt


class DeadlineQueue:
    """Calls back when a deadline has come, on a thread of its own. Thread-safe.

    The thread starts with the first deadline and ends some seconds after the last one.
    With a `SteppedClock` there is no thread: who moves the clock runs what is due.
    Callbacks run with no lock held; an exception of one is logged.

    Args:
        clock: What deadlines are points on.
        name: The thread's name.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, name: str = "vela-deadlines") -> None:
        self.clock = clock
        self._name = name
        self._reset()
        self._stepped = isinstance(clock, SteppedClock)
        _queues.add(self)
        if isinstance(clock, SteppedClock):
            # A weak method: the clock must not keep a queue that nobody uses.
            run_due = weakref.WeakMethod(self.run_due)
            clock.on_advance(lambda: _call_weak(run_due))

    def _reset(self) -> None:
        """Start without deadlines and without a thread: when made, and in a forked child."""
        # Re-entrant: a signal handler or a finalizer may add while this thread adds.
        self._lock = threading.RLock()  # guards _heap, _waits_until, _thread
        self._heap = TimerHeap()
        self._waits_until: float | None = None  # what the watcher sleeps for; None: not asleep
        self._thread: threading.Thread | None = None
        self._gate = threading.Lock()  # locked: the watcher sleeps on it; a release wakes it
        self._gate.acquire()

    def add_in(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call *callback* in *seconds* from now."""
        return self.add(self.clock.now() + seconds, callback)

    def add(self, deadline: float, callback: Callable[[], object]) -> Timer:
        """Call *callback* at *deadline*, a point on the clock.

        Raises:
            ValueError: *deadline* is NaN.
            RuntimeError: the watcher's thread cannot be started; nothing is kept.
        """
        if math.isnan(deadline):
            raise ValueError("a deadline must be a point in time, got NaN: math.inf means never")
        lock = self._lock
        _ = True in taking(lock)  # takes it: see `runtime.locking`
        try:
            timer = self._heap.add(deadline, callback)
            # Wake the watcher only where it would sleep too long. It publishes how long it
            # sleeps under this lock, before it sleeps, so it cannot miss an earlier one.
            wake = self._waits_until is not None and deadline < self._waits_until
            if wake:
                self._waits_until = None
            start = self._thread is None and not self._stepped and deadline != math.inf
        finally:
            lock.release()
        if wake:
            self._wake()
        elif start:
            try:
                self._start()
            except BaseException:
                timer.cancel()
                raise
        return timer

    def run_due(self) -> None:
        """Call back everything that is due now."""
        with self._lock:
            due = self._heap.pop_due(self.clock.now())
        run_each(due)

    def __len__(self) -> int:
        """Return how many deadlines are kept, cancelled ones included until they are purged."""
        with self._lock:
            return len(self._heap)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            # Daemon: it owns nothing that has to be finished when the interpreter exits.
            thread = self._thread = threading.Thread(
                target=self._watch, name=self._name, daemon=True
            )
        try:
            thread.start()
        except BaseException:
            with self._lock:
                self._thread = None
            raise

    def _watch(self) -> None:
        lingering = False  # it has slept, and there is still nothing to watch
        while True:
            try:
                self.run_due()
            except BaseException:  # noqa: BLE001 - reported: the watcher must live on
                logger(__name__).exception("a deadline's callback raised")
            with self._lock:
                deadline = self._heap.next_deadline()
                if deadline is None and lingering:
                    self._thread = None  # under the lock: whoever adds now starts another one
                    return
                self._waits_until = math.inf if deadline is None else deadline
            span = _LINGER if deadline is None else min(deadline - self.clock.now(), _FAR)
            woken = span > 0 and self._gate.acquire(timeout=span)
            lingering = deadline is None and not woken
            with self._lock:
                self._waits_until = None

    def _wake(self) -> None:
        try:
            self._gate.release()
        except RuntimeError:  # woken already, and not yet up
            return


def _call_weak(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    run = method()
    if run is not None:
        run()


_queues: weakref.WeakSet[DeadlineQueue] = weakref.WeakSet()  # all there are, for a forked child
_shared: list[DeadlineQueue] = []
# Re-entrant: a signal handler may want the queue while this thread makes it.
_shared_lock = threading.RLock()


def shared_deadlines() -> DeadlineQueue:
    """Return the process's queue on the system clock; its thread starts with its first use."""
    if not _shared:
        lock = _shared_lock
        _ = True in taking(lock)  # as in `DeadlineQueue.add`
        try:
            if not _shared:
                _shared.append(DeadlineQueue())
        finally:
            lock.release()
    return _shared[0]


def reset_after_fork() -> None:
    """In a forked child: the parent's deadlines are not ours, its watchers do not exist here."""
    global _shared_lock  # noqa: PLW0603 - a lock that the parent held would stay locked
    _shared_lock = threading.RLock()
    for queue in list(_queues):
        queue._reset()
