"""What the parts of one process backend share.

Source: ADR-009.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from runtime.async_runtime.timers import DeadlineQueue, shared_deadlines
from runtime.backends.process.budget import Quarantine, RestartBudget
from runtime.backends.process.child_state import ChildState
from runtime.backends.process.collector import Collector
from runtime.backends.process.fleet import SOON, Fleet
from runtime.backends.process.loading import Loader
from runtime.clock import SYSTEM_CLOCK
from runtime.locking import locked, taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from runtime.backends.base import JobSink, PoolLock
    from runtime.backends.process.child import Child
    from runtime.backends.process_options import ProcessSettings
    from runtime.clock import Clock
    from runtime.errors import BrokenPoolError

    _Waiting: TypeAlias = list[tuple[JobSink, bool]]

__all__ = ("Hub",)

T = TypeVar("T")

_SILENCE: Final = 1.0  # seconds that a child has to say that it skips a job


class Hub:
    """The fleet, the collector's thread, and what both need. Thread-safe.

    Args:
        lock: The pool's lock, an RLock.
        clock: The pool's clock.
        settings: The pool's options.
    """

    def __init__(self, lock: PoolLock, clock: Clock, settings: ProcessSettings) -> None:
        self.lock = lock
        self.taking = taking(lock)
        self.clock = clock
        self.settings = settings
        self.fleet = Fleet(lock, clock, settings)
        self.budget = RestartBudget(settings)
        self.quarantine = Quarantine(settings.max_crashes)
        self.collector = Collector(self._is_needed, self._end)
        self.loader = Loader()
        # On the collector; see `nursery`:
        self.start_wanted: Callable[[], object] = _nothing
        self.at_end: Callable[[], object] = _nothing
        self.give_up: Callable[[JobSink], object] = _nobody  # on any thread; see `ladder`
        self._own_deadlines = None if clock is SYSTEM_CLOCK else DeadlineQueue(clock)
        self._looks_soon = False  # protected by lock: whether `balance` will be called

    @property
    def deadlines(self) -> DeadlineQueue:
        """Who watches the times: one thread for the process, or whoever moves the clock."""
        return shared_deadlines() if self._own_deadlines is None else self._own_deadlines

    @locked
    def _is_needed(self) -> bool:
        fleet = self.fleet
        return bool(fleet.children or fleet.wanted)

    def _end(self) -> None:
        self.at_end()

    # ---- giving ---------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Give what waits to those who can take it, send it, and start more where that helps."""
        try:
            self._dispatch()
        except BaseException:  # Ctrl-C, most likely: what was given out and not sent is sent
            self.collector.ask(self._catch_up)
            raise

    def _dispatch(self) -> None:
        touched, wanted = self._give_out()
        self.send(touched, wanted=wanted)

    @locked
    def _give_out(self) -> tuple[list[Child], bool]:
        touched = self.fleet.give_out()
        return touched, self.fleet.wanted > 0

    def send(self, touched: list[Child], *, wanted: bool) -> None:
        """Write to *touched*; have children started where some are *wanted*. Without the lock."""
        for job in _taken_from(self.fleet.begun):
            if job.is_over():  # somebody has settled it in the middle of its being given
                self.give_up(job)
            else:
                job.begun()
        for child in _taken_from(self.fleet.silent):
            self._watch_silent(child)
        for child in touched:
            child.outbox.flush()
        if wanted:
            self.ask_for_children()
        if self.fleet.broken is not None:
            self._refuse_rest()

    def _watch_silent(self, child: Child) -> None:
        """End *child* where it does not say soon that it skips what was taken back.

        One that is stopped never does: it would be a place where no job ever runs.
        """
        with contextlib.suppress(RuntimeError):  # without a thread that watches, it has no limit
            child.cancel_timer()
            child.timer = self.deadlines.add_in(
                _SILENCE, lambda: self.collector.ask(functools.partial(self._end_silent, child))
            )

    @locked
    def _end_silent(self, child: Child) -> None:
        if child.state is ChildState.BUSY and not child.in_flight:
            child.is_dying = True
            child.why_ended = "it did not say that it had skipped what was taken back"
            child.send_signal(signal.SIGKILL)

    @locked
    def _repair(self) -> None:
        self.fleet.repair()

    def _catch_up(self) -> None:
        """Send all that waits to be sent: somebody was interrupted before it was."""
        self._repair()
        for child in list(self.fleet.children.values()):
            child.outbox.resume()
        self._dispatch()

    def ask_for_children(self) -> None:
        """Have the collector start what the fleet wants; refuse what waits where it cannot."""
        try:
            self.collector.ask(self.start_wanted)
        except (RuntimeError, OSError) as error:
            self.cannot_start(error)

    def rebalance(self) -> None:
        """A child has come to be idle: see whether another one has too much."""
        again, has_taken = self._balance()
        if has_taken:
            self.dispatch()
        if again:
            try:
                self.deadlines.add_in(SOON, self._look_again)
            except RuntimeError:  # no thread is to be had that would wait for it
                self._look_again()

    @locked
    def _balance(self) -> tuple[bool, bool]:
        """Return whether to look again soon, and whether there is something to be given out."""
        fleet = self.fleet
        again = fleet.balance(at_once=False) and not self._looks_soon
        self._looks_soon = self._looks_soon or again
        return again, bool(fleet.idle and (fleet.queue or fleet.again))

    def _look_again(self) -> None:
        self._balance_at_once()
        self.dispatch()

    @locked
    def _balance_at_once(self) -> None:
        self._looks_soon = False
        self.fleet.balance(at_once=True)

    # ---- refusing -------------------------------------------------------------------------

    def cannot_start(self, error: BaseException) -> None:
        """No child can be started: refuse what waits where there is none at all."""
        from runtime.errors import WorkerStartError  # noqa: PLC0415 - rare

        def refusal() -> BaseException:
            refused = WorkerStartError(
                f"{self.settings.name}: no worker process could be started ({error}); "
                "free processes, memory or descriptors, or raise the limits"
            )
            refused.__cause__ = error
            return refused

        if not self._refuse(self._stranded(refusal()), refusal):
            logger(__name__).warning(
                "%s goes on with fewer worker processes: %s", self.settings.name, error
            )
        self.fleet.watchers.tell()

    @locked
    def _stranded(self, error: BaseException) -> _Waiting:
        self.fleet.start_error = error
        self.fleet.wanted = 0
        self.fleet.is_full = False
        return [] if self.fleet.children else self._waiting()

    def _waiting(self) -> _Waiting:
        """Needs lock. Return what waits, and whether it had begun once: that is taken out."""
        fleet = self.fleet
        again = [(job, True) for job in fleet.again]
        fleet.again.clear()
        return again + [(job, False) for job in fleet.queue.snapshot()]

    def _refuse(self, jobs: _Waiting, error: Callable[[], BaseException]) -> bool:
        """Refuse *jobs*, each with an *error* of its own; False where there are none."""
        for job, had_begun in jobs:
            if had_begun:
                job.crash(error())
            elif job.refuse(error()):
                self._note_shell()
        return bool(jobs)

    @locked
    def _note_shell(self) -> None:
        self.fleet.queue.note_over()

    def break_pool(self, error: BrokenPoolError) -> None:
        """From now on nothing runs here: what waits is refused, idle children leave."""
        self._refuse(self._close_broken(error), self.broken_error)
        self.fleet.watchers.tell()

    def _refuse_rest(self) -> None:
        """The pool is broken: what a child gave back since then runs nowhere."""
        if self._refuse(self._take_rest(), self.broken_error):
            self.fleet.watchers.tell()

    @locked
    def _take_rest(self) -> _Waiting:
        self.fleet.wanted = 0
        return self._waiting()

    @locked
    def _close_broken(self, error: BrokenPoolError) -> _Waiting:
        fleet = self.fleet
        if fleet.broken is None:
            fleet.broken = error
        fleet.closing = True
        fleet.wanted = 0
        for child in fleet.children.values():
            fleet.take_back(child)
        return self._waiting()

    def broken_error(self) -> BrokenPoolError:
        """Return a new error for who waits for a job of a pool that is broken."""
        from copy import copy  # noqa: PLC0415 - rare

        error: Any = self.fleet.broken  # Any: copied as what it is
        fresh: BrokenPoolError = copy(error)
        fresh.__cause__ = error.__cause__
        return fresh


def _taken_from(items: deque[T]) -> Iterator[T]:
    """Take out item after item; others may do so at the same time."""
    while items:
        try:
            item = items.popleft()
        except IndexError:
            return
        yield item


def _nobody(job: JobSink) -> None:
    """Before the ladder is there."""


def _nothing() -> None:
    """Before the nursery is there."""
