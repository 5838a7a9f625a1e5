"""Driving to an end: run, park when nothing is ready, stop.

Source: async-runtime-spec.md, section 8; ADR-002.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from runtime.async_runtime.awaited import awaited_by
from runtime.async_runtime.cycles import check_await
from runtime.async_runtime.driven import DrivenTask
from runtime.async_runtime.embedding import EmbeddedLoop, check_count
from runtime.async_runtime.loop import LOOK, STALLED, STOP_MARKER, STOPPED
from runtime.async_runtime.nesting import Nest
from runtime.async_runtime.ownership import Run
from runtime.async_runtime.running import running
from runtime.clock import SteppedClock
from runtime.errors import FutureTimeoutError, InvalidStateError, WouldBlockError

if TYPE_CHECKING:
    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.outcome import OutcomeFuture

__all__ = ("DrivingLoop",)

_LAST_TURNS: Final = 1000  # polls that a task gets to clean up when its time is over


class DrivingLoop(EmbeddedLoop):
    """A loop that may put its thread to sleep."""

    _block: bool  # whether it may; set by Executor

    def run(self, max_iterations: int | None = None) -> None:
        """Drive until no task is left, `stop` is called, or *max_iterations* polls are done.

        Raises:
            WouldBlockError: all tasks wait, and ``block=False``.
            InvalidStateError: called from inside of a run of this executor.
            WrongThreadError: the executor belongs to another thread.
            ExecutorClosedError: the executor is closed.
            TypeError: *max_iterations* is no int.
            ValueError: *max_iterations* is negative.
        """
        left = check_count("max_iterations", max_iterations)
        with Run(cast("Executor", self)):  # cast: the one class made of this one
            while self._active and left > 0:
                self._tick()
                if max_iterations is None:
                    why = self._drain(repeat(None), None)
                else:
                    why = self._poll_next()
                    left -= why != STALLED
                if why == STOPPED:
                    return
                if why == STALLED and self._active:
                    self._park()

    def stop(self) -> None:
        """Make the innermost run under way return after the poll under way. Thread-safe.

        Does nothing where none is under way.
        """
        if self._depth:
            self._littered = self._stopping = True
            self._ready.appendleft(STOP_MARKER)  # ahead of all that is ready
            if self._parker.armed:
                self._parker.signal()

    def _run_until(self, task: DrivenTask[Any], limit: float | None, *, keep: bool) -> None:
        """Drive until *task* has ended; raise `TimeoutError` after *limit* seconds.

        *keep*: do not cancel it then.
        """
        with Run(cast("Executor", self), inside=True) as run:  # cast: as in run
            expired = _Expired(self)
            timer = None if limit is None else self._add_timer_in(limit, expired.set)
            nest: Nest | None = None
            current = run.current if isinstance(run.current, DrivenTask) else None
            try:
                if self._depth > 1:
                    if current is not None:
                        check_await(task, current)
                        current._awaiting = task  # it awaits, without being suspended
                    nest = self._nest = Nest(self, run.current, task)
                while not task._outcome and not expired:
                    self._run_once(task, nest, expired)
                if not task._outcome:
                    self._expire(task, cast("float", limit), None if keep else run)
            finally:
                if timer is not None:
                    timer.cancel()
                if current is not None:
                    current._awaiting = None
                if nest is not None:
                    self._nest = nest.outer
                    nest.release()
                del task, current, nest  # as in _drain

    def _expire(self, task: DrivenTask[Any], limit: float, run: Run | None) -> NoReturn:
        """Say that *limit* is over; where there is a *run*, *task* ends with it."""
        what = f"run_until_complete of {task!r}"
        try:
            if run is not None:
                self._clean_up(task, run.current)
        finally:
            del task, run  # as in _drain
        raise FutureTimeoutError(what, limit)

    def _clean_up(self, task: DrivenTask[Any], current: object) -> None:
        """Cancel *task* and let it come to its end as far as that needs no waiting."""
        outer = self._nest
        nest = self._nest = outer or Nest(self, current, task)
        try:
            task.cancel()
            while nest.drain(task, _LAST_TURNS) == LOOK:
                pass
        finally:
            self._nest = outer
            if outer is None:
                nest.release()
            del task, nest, outer  # as in _drain

    def _run_once(self, task: DrivenTask[Any], nest: Nest | None, expired: _Expired) -> None:
        """Poll until there is something to look at; park where nothing is ready."""
        try:
            self._tick()
            why = self._drain(repeat(None), task) if nest is None else nest.drain(task)
            if why == STOPPED:
                raise InvalidStateError(
                    f"stop() was called before {task!r} had ended: drive it again"
                )
            if why == STALLED and not task._outcome and not expired:
                self._park(task)
        finally:
            del task, nest  # as in _drain

    def _park(self, until: DrivenTask[Any] | None = None) -> None:
        """Sleep until something may be ready: a wake, or the next timer. *until* is driven."""
        parker = self._parker
        parker.arm()
        deadline = self._timers.next_deadline()
        span = None if deadline is None else deadline - self._clock.now()
        if self.has_ready or (span is not None and span <= 0):
            parker.armed = False
            return
        if parker.watcher is not None and (
            (not self._block or isinstance(self._clock, SteppedClock)) and parker.look()
        ):
            parker.armed = False
            return
        if not self._block:
            raise WouldBlockError(
                f"{self!r} has nothing ready and may not block: drive it with "
                "run_until_stalled(), next_deadline() and on_wake, or make it with block=True"
            )
        if deadline is not None and isinstance(self._clock, SteppedClock):
            if self._clock.idle(deadline):
                parker.armed = False
                return
            span = None  # whoever moves the clock wakes us
        blocker = running.blocker
        if blocker is None:
            parker.park(span)
        else:
            needed = None if until is None else awaited_by(until)
            del until  # as in _drain
            if needed is None:
                blocker.wait(None, span, lambda: parker.park(span))
            else:
                blocker.wait(None, span, lambda: parker.park(span), needed)
            parker.armed = False

    def _check_blocking(self, future: OutcomeFuture[Any]) -> None:
        """Refuse to block this loop's thread where it may not be."""
        if not self._block:
            raise WouldBlockError(
                f"waiting for {future!r} would block the thread of {self!r}: await it instead"
            )


class _Expired:
    """False until set; whoever drives then looks at it."""

    __slots__ = ("_loop", "_set")

    def __init__(self, loop: DrivingLoop) -> None:
        self._loop = loop
        self._set = False

    def set(self) -> None:
        self._set = True
        self._loop._look()

    def __bool__(self) -> bool:
        return self._set
