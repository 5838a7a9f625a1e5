"""How a task of asyncio's or of trio's waits for our waker; each is the waker, too.

Made for one ``await``, and used again where a poll was for nothing. Nothing is imported: the loop
runs, so its module is there.
Threads: `wake` from any; all else on the loop's own.
Source: async-runtime-spec.md, section 9.3; ADR-001.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Context

__all__ = ("ForeignWait", "foreign_wait", "trio_checkpoint")


class ForeignWait(Waker):
    """What is common to both."""

    __slots__ = ()

    def wait(self) -> Iterable[Any]:  # Any: what that loop's tasks yield
        """Return what the task yields from, to wait until `wake` was called since `reset`."""
        raise NotImplementedError

    def begin(self) -> Iterable[Any]:  # Any: as above
        """Return what the task yields from before the first poll."""
        return ()

    def pass_by(self) -> Iterable[Any]:  # Any: as above
        """Return what the task yields from where it need not wait at all."""
        return ()

    def clone(self) -> Waker:
        """Return a waker of its own that tells this one."""
        return Waker(self.wake)


class _AsyncioWait(ForeignWait):
    """What a task of asyncio's waits for instead of one of asyncio's futures.

    A task waits for whatever has ``_asyncio_future_blocking`` (`asyncio.isfuture`), and leaves
    its callback there. `wake` has the loop call that back, thread-safely; through a future, the
    loop would go round once more for each ``await``.
    Invariant: the callback is taken out by one atomic pop, so that it is called once for each
    wait, be it by `wake` or by `cancel`.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_left", "_loop", "_message", "_woken")

    def __init__(self, loop: Any) -> None:  # noqa: ANN401 - asyncio's
        self._loop = loop
        self._left: list[tuple[Callable[[Any], object], Context | None]] = []
        self._woken = False
        self._cancelled = False
        self._message: object = None
        self._asyncio_future_blocking = False

    def wake(self) -> None:
        """Have the task go on. Where its loop is closed by now, nobody waits."""
        self._woken = True  # before the pop: `add_done_callback` sees this, or this sees that
        try:
            callback, context = self._left.pop()
        except IndexError:
            return
        try:
            self._loop.call_soon_threadsafe(callback, self, context=context)
        except RuntimeError:  # it is closed
            return

    def is_woken(self) -> bool:
        """See `Waker`."""
        return self._woken

    def reset(self) -> None:
        """See `Waker`."""
        self._woken = False

    def wait(self) -> Iterable[Any]:
        """See `ForeignWait`."""
        self._asyncio_future_blocking = True
        return (self,)

    # ---- what a task of asyncio's asks of a future ----------------------------------------

    def get_loop(self) -> Any:  # noqa: ANN401 - asyncio's
        """Return the loop: a task refuses to wait for what belongs to another one."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Keep the task's *callback*; where the wake came first, have it called."""
        self._left.append((callback, context))
        if self._woken:
            self._call_back()

    def cancel(self, msg: object = None) -> bool:
        """Have the wait raise; False where it is over, and the task sees to it itself."""
        self._message = msg
        self._cancelled = True
        if self._call_back():
            return True
        self._cancelled = False
        return False

    def _call_back(self) -> bool:
        try:
            callback, context = self._left.pop()
        except IndexError:
            return False
        self._loop.call_soon(callback, self, context=context)
        return True

    def done(self) -> bool:
        """Tell whether the task has been told to go on."""
        return not self._left

    def cancelled(self) -> bool:
        """Tell whether the wait raises."""
        return self._cancelled

    def result(self) -> None:
        """In the task's callback: raise where the wait was cancelled."""
        if self._cancelled:
            self._cancelled = False
            error = sys.modules["asyncio"].CancelledError
            raise error() if self._message is None else error(self._message)


class _TrioWait(ForeignWait):
    """Parks a task of trio's."""

    __slots__ = ("_lowlevel", "_parked", "_task", "_token")

    def __init__(self, lowlevel: Any, task: Any, token: Any) -> None:  # noqa: ANN401 - trio's
        super().__init__()
        self._lowlevel = lowlevel
        self._task = task
        self._token = token
        self._parked = False  # whether the task is parked for this, and for nothing else

    def wake(self) -> None:
        """Have the task go on. Where its loop is over by now, nobody waits."""
        if self._flag.acquire(False):
            try:
                self._token.run_sync_soon(self._resume)
            except RuntimeError:  # RunFinishedError is one
                return

    def _resume(self) -> None:  # in trio's thread, between two steps of its tasks
        if self._parked:
            self._parked = False
            self._lowlevel.reschedule(self._task)

    def _abort(self, _raise_cancel: object) -> Any:  # noqa: ANN401 - trio.lowlevel.Abort
        self._parked = False
        return self._lowlevel.Abort.SUCCEEDED

    def wait(self) -> Iterable[Any]:
        """See `ForeignWait`."""
        self._parked = True
        wait: Iterable[Any] = self._lowlevel.wait_task_rescheduled(self._abort).__await__()
        return wait

    def begin(self) -> Iterable[Any]:
        """Raise in a scope that is cancelled already."""
        begin: Iterable[Any] = self._lowlevel.checkpoint_if_cancelled().__await__()
        return begin

    def pass_by(self) -> Iterable[Any]:
        """Let others run. No cancelling here: the value, which is taken, would be lost."""
        turn: Iterable[Any] = self._lowlevel.cancel_shielded_checkpoint().__await__()
        return turn


def foreign_wait() -> ForeignWait | None:
    """Return a wait for the task of another loop that runs on this thread; None: there is none.

    asyncio's first: its loop may lie inside of a task of trio's.
    """
    loop = _asyncio_loop()
    if loop is not None:
        return _AsyncioWait(loop)
    lowlevel = _trio_lowlevel()
    if lowlevel is not None:
        return _TrioWait(lowlevel, lowlevel.current_task(), lowlevel.current_trio_token())
    return None


def trio_checkpoint() -> Iterable[Any]:  # Any: what trio's tasks yield
    """Return a checkpoint for the task of trio's that runs on this thread; empty: there is none."""
    if _asyncio_loop() is not None:  # as for waits
        return ()
    lowlevel = _trio_lowlevel()
    if lowlevel is None:
        return ()
    checkpoint: Iterable[Any] = lowlevel.checkpoint().__await__()
    return checkpoint


def _asyncio_loop() -> Any:  # noqa: ANN401 - asyncio's, or None
    """Return the loop of asyncio's that runs a task on this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    loop = asyncio._get_running_loop()
    return None if loop is None or asyncio.current_task(loop) is None else loop


def _trio_lowlevel() -> Any:  # noqa: ANN401 - trio's module, or None
    """Return `trio.lowlevel` where trio runs a task on this thread, or None."""
    # Any: None also while that is being imported.
    lowlevel: Any = getattr(sys.modules.get("trio"), "lowlevel", None)
    try:
        lowlevel.current_task()
    except (AttributeError, RuntimeError):
        return None
    return lowlevel
