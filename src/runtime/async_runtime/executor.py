"""The executor: it polls tasks that are ready, and sleeps when none is.

Threads: an executor belongs to the thread that first drives it, until `Executor.hand_over`.
`spawn`, `stop`, wakers and handles may be used from any thread.
The parts, each built on the one before: `loop` (the queue), `ownership` (threads and
re-entrance), `embedding` (steps for a host), `driving` (runs), and this one (what it is made of,
spawning, the end).
Source: async-runtime-spec.md, sections 6 and 8; ADR-002, ADR-008.
"""

from __future__ import annotations

import contextvars
import sys
import weakref
from threading import get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, final

from runtime.async_runtime.closing import end_tasks
from runtime.async_runtime.coroutines import as_pollable, is_coroutine
from runtime.async_runtime.driven import DrivenTask
from runtime.async_runtime.driving import DrivingLoop
from runtime.async_runtime.future import Future, forget
from runtime.async_runtime.staying import stays_here
from runtime.async_runtime.task import TaskLike
from runtime.async_runtime.waker import NOOP
from runtime.clock import SYSTEM_CLOCK, Clock, SteppedClock, check_timeout
from runtime.errors import (
    ExecutorClosedError,
    FutureTimeoutError,
    InvalidStateError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType

    from runtime.async_runtime.future import FutureLike
    from runtime.async_runtime.poll import Poll
    from runtime.async_runtime.reports import UnhandledError
    from runtime.async_runtime.waker import Waker

__all__ = ("Executor",)

T = TypeVar("T")

_getframe = sys._getframe  # what the standard library itself uses to name a caller
_copy_context = contextvars.copy_context


@final
class Executor(DrivingLoop):
    """Drives futures and coroutines on one thread; made to be stepped by somebody else's loop.

    Args:
        clock: What deadlines are measured on; a `SteppedClock` is told when the loop is idle.
        order: ``"fifo"``, or a number: the seed of a random order of ready tasks, for tests.
        block: Whether this executor may put its thread to sleep. With False, whatever would
            have to wait raises `WouldBlockError` instead: for a GUI or another host's loop.
        on_wake: Called from any thread, once for each time that nothing was left to do and
            then something is: a task became ready, or `next_deadline` moved earlier without
            a `step` or `run_until_stalled` that would have told. It must only tell the
            host; it must not drive the executor.
        on_unhandled: Called once for each task that failed where nobody can read
            the error any more. The default logs it at error level, with the place of the spawn.

    Raises:
        ValueError: *order* is neither.

    Any number of executors may live in one thread or process. Nothing global is made: no
    thread, no signal handler, no exit hook. `close` it, or use it as a context manager.
    """

    __reduce__ = stays_here

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        order: Literal["fifo"] | int = "fifo",
        block: bool = True,
        on_wake: Callable[[], object] | None = None,
        on_unhandled: Callable[[UnhandledError], object] | None = None,
    ) -> None:
        self._closed = True  # until made: __del__ of one that was refused does nothing
        if order != "fifo" and (isinstance(order, bool) or not isinstance(order, int)):
            raise ValueError(f"order must be 'fifo' or a seed (an int), got {order!r}: pass one")
        super().__init__(clock, order, on_wake, on_unhandled)
        self._block = block
        self._forget_clock: Callable[[], None] | None = None
        if isinstance(clock, SteppedClock):
            this = weakref.ref(self)  # the clock must not keep an executor that nobody uses
            self._forget_clock = clock.on_advance(lambda: _clock_moved(this))
        if on_wake is not None:
            self._parker.arm()  # the first spawn is worth telling

    # ---- spawning -------------------------------------------------------------------------

    def spawn(self, future: FutureLike[T]) -> DrivenTask[T]:
        """Drive *future* as a task of its own, from the next turn of the loop on.

        Args:
            future: A coroutine, or anything with ``poll``.

        Returns:
            The handle, a `TaskHandle`. Dropping it changes nothing: the executor keeps its tasks.

        Raises:
            TypeError: *future* is neither.
            ExecutorClosedError: the executor is closed; a coroutine given is closed too.

        Thread-safety: may be called from any thread; the task runs on the executor's.
        """
        frame = _getframe(1)
        if type(future) is CoroutineType:
            task: DrivenTask[T] = DrivenTask(
                self, future, None, _copy_context(), frame.f_code, frame.f_lasti
            )
        else:
            task = self._task_of(future, frame.f_code, frame.f_lasti)
        self._active[task] = None
        if self._closed:  # in this order: close() empties _active after it has set _closed
            raise self._refuse(task)
        if self._nest is not None and self._owner == get_ident():
            self._nest.admit(task)
        self._ready.append(task)
        if self._parker.armed:
            self._parker.signal()
        return task

    def _task_of(self, future: FutureLike[T], code: CodeType, instruction: int) -> DrivenTask[T]:
        """Make the task of anything but a plain coroutine."""
        context = _copy_context()
        if not hasattr(future, "poll") and is_coroutine(future):
            return DrivenTask(self, future, None, context, code, instruction)
        return DrivenTask(self, None, as_pollable(future), context, code, instruction)

    def _refuse(self, task: DrivenTask[Any]) -> ExecutorClosedError:
        try:
            del self._active[task]
        except KeyError:  # close() has found it, and has ended it
            pass
        else:
            if task._arg is None:
                task.source.close()  # no warning about a coroutine that was never awaited
        return self._is_closed()

    def _is_closed(self) -> ExecutorClosedError:
        return ExecutorClosedError(
            f"cannot use {self!r}: it is closed; make a new Executor for new work"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise self._is_closed()

    # ---- driving to an end ----------------------------------------------------------------

    def run_until_complete(self, future: FutureLike[T], timeout: float | None = None) -> T:
        """Drive until *future* is there; return its value or raise its error.

        Args:
            future: A future, a coroutine, or a handle that `spawn` gave.
            timeout: Seconds from now on the executor's clock; None for no limit.

        Raises:
            TimeoutError: it took longer. What was given is cancelled, except a handle; the
                cleaning up of a coroutine has run then, as far as it did not have to wait.
            WouldBlockError: there was nothing to do but wait, and ``block=False``.
            InvalidStateError: `stop` was called before the end.
            AwaitCycleError: called in a task for that task, or for one that awaits it.
            WrongThreadError: the executor belongs to another thread.
            ExecutorClosedError: the executor is closed.

        Called from inside a task of this executor, it drives only what *future* needs (its
        task, what that spawns and awaits); all other tasks lie still until it returns.
        A `KeyboardInterrupt` leaves at once; what was given is cancelled, except a handle. The
        cleaning up of a coroutine (and the rest of it after a `TimeoutError`) runs when the
        executor is driven next, or closed.
        """
        limit = check_timeout("timeout", timeout)
        keep = isinstance(future, DrivenTask) and future._executor is self
        if keep:
            task = cast("DrivenTask[T]", future)
        else:
            given = _Borrowed(future) if isinstance(future, TaskLike) else future
            task = self.spawn(given)
            task._spawned_at(_getframe(1))
            del given  # as below
        try:
            self._run_until(task, limit, keep=keep)
            return task._read()
        except BaseException as error:
            # Does nothing where it has ended; after a timeout it has been asked, and asks may add.
            if not keep and not isinstance(error, FutureTimeoutError):
                task.cancel()
            raise
        finally:
            del task, future  # a traceback may keep this frame, and the task keeps the traceback

    # ---- looking --------------------------------------------------------------------------

    def active_tasks(self) -> int:
        """Return how many tasks have not ended."""
        return len(self._active)

    def ready_tasks(self) -> int:
        """Return how many tasks wait for their turn."""
        return sum(task._woken for task in self._active.copy())

    def waiting_tasks(self) -> int:
        """Return how many tasks wait to be woken."""
        return sum(not task._woken and task is not self._current for task in self._active.copy())

    def current_task(self) -> DrivenTask[Any] | None:
        """Return the task that is being polled, or None."""
        current = self._current
        return current if isinstance(current, DrivenTask) else None

    @property
    def clock(self) -> Clock:
        """What deadlines are measured on."""
        return self._clock

    def __repr__(self) -> str:
        if self._closed:
            return f"<Executor {id(self):#x} closed>"
        return f"<Executor {id(self):#x} with {len(self._active)} task(s)>"

    # ---- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """End every task that is left, and give back everything. May be called twice.

        Tasks that have not ended are reported in one log line (warning) with the places of
        their spawns and end as cancelled; the ``finally`` blocks of coroutines run, but cannot
        await any more. What is told to the tasks afterwards is dropped.

        Raises:
            InvalidStateError: the executor is being driven, by this or another thread.

        Thread-safety: any thread, while none drives.
        """
        if self._closed:
            return
        self._closed = True
        if self._depth:
            self._closed = False
            raise InvalidStateError(f"cannot close {self!r} while it runs: stop() it first")
        end_tasks(self)
        self._ready.clear()
        self._timers.clear()
        self._parker.close()
        self._pop = self._ready.popleft  # no cycle: it is freed with its last user
        if self._forget_clock is not None:
            self._forget_clock()

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and not self._depth:
            self.close()


class _Borrowed(Future[T]):
    """A handle of a task elsewhere: who drives this may be cancelled without that task."""

    __slots__ = ("_handle",)

    def __init__(self, handle: TaskLike[T]) -> None:
        self._handle = handle

    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        return self._handle.poll(waker)

    def _forget(self, waker: Waker) -> None:
        forget(self._handle, waker)


def _clock_moved(executor: weakref.ref[Executor]) -> None:
    loop = executor()
    if loop is not None and loop._parker.armed and loop._timers.may_be_due(loop._clock.now()):
        loop._parker.signal()
