"""Deadlines where no loop watches them: a thread that does.

`DeadlineQueue` is a `TimerHeap` under a lock with one thread, started when first needed, that
sleeps until the earliest deadline: worker timeouts, and `Future.timeout` outside of executors.
Source: async-runtime-spec.md, section 7; ADR-005.
"""

from __future__ import annotations

import math
import threading
import weakref
from typing import TYPE_CHECKING, Final

from runtime.async_runtime.callback_thread import keeps_out_callbacks
from runtime.async_runtime.timer_heap import Timer, TimerHeap, run_each
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

# The first sleep of the watcher's park; longer ones are cut: a lock takes no more.
_FAR: Final = threading.TIMEOUT_MAX / 2
_LINGER: Final = 2.0  # seconds that the watcher stays when there is nothing to watch


class DeadlineQueue:
    """Calls back when a deadline has come, on a thread of its own. Thread-safe.

    The thread starts with the first deadline and ends some seconds after the last one.
    With a `SteppedClock` there is no thread: who moves the clock runs what is due.
    Callbacks run with no lock held; an exception of one is logged. They must not block; the
    done-callbacks of what they settle run on a thread of their own (`callback_thread`).

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
            forget = clock.on_advance(lambda: _call_weak(run_due))
            weakref.finalize(self, forget).atexit = False

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

    def has_any_of(self, timers: Iterable[Timer]) -> bool:
        """Tell whether one of *timers* is of this queue; not after a fork, where all are gone."""
        return any(timer.heap is self._heap for timer in timers)

    def run_due(self) -> None:
        """Call back everything that is due now."""
        heap, now = self._heap, self.clock.now()
        before = heap.mark()
        run_each(iter(lambda: self._take_due(heap, now, before), None), self._put_back)

    def _take_due(self, heap: TimerHeap, now: float, before: int) -> Timer | None:
        with self._lock:
            timer = heap.take_due(now, before)
            heap.given_out()  # two threads may run what is due: each is called by one of them
            return timer

    def _put_back(self, timer: Timer, callback: Callable[[], object]) -> None:
        with self._lock:
            timer.heap.put_back(timer, callback)

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
        keeps_out_callbacks()  # one that blocks would stop every limit in the process
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
