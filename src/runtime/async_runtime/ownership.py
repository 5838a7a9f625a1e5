"""Whose an executor is, and what one run does to the thread that drives it.

An executor belongs to the thread that drives it first, until `hand_over` or the end of that
thread. Inside of a run, a task may run a further one (see `nesting`); a host may not.
Source: async-runtime-spec.md, section 8; ADR-008.
"""

from __future__ import annotations

import sys
import threading
from threading import get_ident
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.loop import ReadyLoop
from runtime.async_runtime.running import running
from runtime.errors import ExecutorClosedError, InvalidStateError, WrongThreadError
from runtime.locking import taking

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.reports import UnhandledError
    from runtime.clock import Clock

__all__ = ("OwnedLoop", "Run")


class OwnedLoop(ReadyLoop):
    """A loop that knows its thread."""

    def __init__(
        self,
        clock: Clock,
        order: str | int,
        on_wake: Callable[[], object] | None,
        on_unhandled: Callable[[UnhandledError], object] | None,
    ) -> None:
        super().__init__(clock, order, on_wake, on_unhandled)
        self._closed = False
        self._owner: int | None = None  # ident of the thread; set under _owner_lock
        # Re-entrant, and held only where nobody drives: to become the owner, and to end a task
        # in the name of an owner that does not exist yet.
        self._owner_lock = threading.RLock()
        self._depth = 0  # how many runs are under way on the owner's stack

    def hand_over(self) -> None:
        """Let another thread drive from now on: the next one that does so owns the executor.

        Raises:
            InvalidStateError: it is being driven now.
            WrongThreadError: it belongs to another thread.
        """
        if self._owner not in (None, get_ident()):
            raise self._wrong_thread()
        if self._depth:
            raise InvalidStateError(f"cannot hand over {self!r} while it runs: do it afterwards")
        self._owner = None

    def _take(self) -> None:
        """Make this thread the owner."""
        lock = self._owner_lock
        _ = True in taking(lock)  # takes it: see `runtime.locking`
        try:
            # The owner may be gone: its thread has ended, or did not come along into a fork.
            if self._owner is not None and (self._depth or self._owner in sys._current_frames()):
                raise self._wrong_thread()
            self._owner = get_ident()
        finally:
            lock.release()

    def _claim(self) -> bool:
        """Make this thread the owner where nobody is; tell whether it is now. Thread-safe."""
        lock = self._owner_lock
        _ = True in taking(lock)  # as above
        try:
            if self._owner is None:
                self._owner = get_ident()
            return self._owner == get_ident()
        finally:
            lock.release()

    def _wrong_thread(self) -> WrongThreadError:
        return WrongThreadError(
            f"{self!r} belongs to thread {self._owner}, this is thread {get_ident()}: spawn from "
            "here and drive there, or call hand_over() in its own thread first"
        )

    def _is_mine(self) -> bool:
        """Tell whether this thread owns the loop."""
        return self._owner == get_ident()

    def _is_below(self) -> bool:
        """Tell whether a run of this loop waits further down on this thread's stack."""
        return self._depth > 0 and self._owner == get_ident()

    def _end_unstarted(self, task: DrivenTask[Any]) -> bool:
        """Cancel *task* at once where no code of it has to run for that, or return False."""
        if self._owner is not None:
            return self._owner == get_ident() and self._end_if_idle(task)
        with self._owner_lock:  # whoever wants to drive waits until this is done
            return self._nobody_drives() and self._end_if_idle(task)

    def _nobody_drives(self) -> bool:
        """Tell whether no other thread is the owner."""
        return self._owner in (None, get_ident())

    def _end_if_idle(self, task: DrivenTask[Any]) -> bool:
        if task._outcome or task is self._current:
            return False
        if self._nest is not None and task in self._nest.running:
            return False
        source = task.source
        if task._arg is None:
            if getattr(source, "cr_suspended", None) is not False or source.cr_running:
                return False  # it has begun, so it has the right to clean up
            source.close()
        self._cancelled(task)
        if self._depth:
            self._ready.append(task)  # a run that waits for it must notice
        return True

    def _requeue_all(self) -> None:
        """Give every task one more poll, after an interrupt that may have hit the loop itself.

        A signal can raise between taking a task out of the queue and polling it. An
        extra poll is always harmless; a lost one would be for ever.
        """
        items: list[object] = []
        try:
            while True:
                items.append(self._ready.popleft())
        except IndexError:
            self._ready.extendleft(reversed(items))
        queued = set(map(id, items))
        for task in self._active.copy():
            if id(task) not in queued and not task._outcome:
                task._woken = True
                self._ready.append(task)

    def _tell_host(self, *, told_ready: bool, told_deadline: bool) -> None:
        """Say what is left to do, at the end of an outermost run, where its return did not."""
        raise NotImplementedError


class Run:
    """The frame of one run: takes the thread, and puts back what was current.

    Args:
        loop: Whose.
        inside: Whether this may happen inside of another run of the same loop.
    """

    __slots__ = ("_inside", "_loop", "_outer", "current", "told_deadline", "told_ready")

    def __init__(self, loop: Executor, *, inside: bool = False) -> None:
        self._loop = loop
        self._inside = inside
        self.told_ready = False  # what this run returns says whether there is more to poll
        self.told_deadline = False  # the host asks for the next deadline after this run
        self.current: Any = None  # Any: what the run below was polling; a task, or a marker

    def __enter__(self) -> Self:
        loop = self._loop
        if loop._owner != get_ident():
            loop._take()
        if loop._depth and not self._inside:
            raise InvalidStateError(
                f"cannot drive {loop!r} from inside of its own run: await instead, or use "
                "run_until_complete()"
            )
        loop._depth += 1
        if loop._closed:  # in this order: close() looks at _depth after it has set _closed
            loop._depth -= 1
            raise ExecutorClosedError(f"cannot drive {loop!r}: make a new Executor")
        if loop._depth == 1:
            loop._stopping = False  # a stop() that came as the run before was already leaving
        self._outer, running.executor = running.executor, loop
        self.current = loop._current
        loop._current = None
        loop._parker.armed = False
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        loop = self._loop
        loop._depth -= 1
        loop._current = self.current
        running.executor = self._outer
        if error is not None and not isinstance(error, Exception):
            loop._requeue_all()
        if not loop._depth:
            loop._stopping = False
            if loop._littered:
                loop._sweep()
            if loop._parker.watcher is not None:
                loop._parker.rest()
            loop._tell_host(
                told_ready=self.told_ready and error is None, told_deadline=self.told_deadline
            )
