"""A future that is settled once, from any thread, and wakes everybody who asked.

Owns: the outcome, and those who wait for it. `PromiseFuture`, the executor's tasks and the
futures of workers are this class; they differ in who settles and how that is decided.

Threads: everything here may be called from any thread; no lock is held while anything
is called. Why no wake-up is lost: a waiter is first *added* (an atomic operation of
a builtin container), then looks at the outcome; the settler first *stores* the outcome,
then empties the container, waiter by waiter, atomically. Whichever comes second sees the
other: the settler finds the waiter, or the waiter finds the outcome and empties the
container itself. Each waiter is taken out once, so it is woken once.
Source: async-runtime-spec.md, section 3; ADR-003.
"""

from __future__ import annotations

import contextvars
import threading
from sys import modules
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from runtime.async_runtime.conversions import Convertible
from runtime.async_runtime.foreign import await_elsewhere, is_refusal
from runtime.async_runtime.foreign_waits import trio_checkpoint
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.running import FREE_THREADED, full_fence, running
from runtime.async_runtime.staying import stays_here
from runtime.async_runtime.waiters import CallbackWaker, ThreadWaker, calls_functions, wake_each
from runtime.async_runtime.waker import NOOP
from runtime.clock import check_timeout
from runtime.errors import FutureTimeoutError
from runtime.locking import taking

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from runtime.async_runtime.failure import Failure
    from runtime.async_runtime.waiters import Wakeable
    from runtime.async_runtime.waker import Waker

__all__ = ("CANCELLED", "ERROR", "OPEN", "VALUE", "OutcomeFuture", "reset_after_fork")

T = TypeVar("T")

# The outcome, as plain ints: it is looked at on every hot path. 0 is false: still open.
OPEN: Final = 0
VALUE: Final = 1  # _value is the value
ERROR: Final = 2  # _value is a Failure
CANCELLED: Final = 3  # like ERROR; the failure may be made when somebody reads it

_FEW: Final = 32  # waiters kept in the list; more go to the dict, where removal is O(1)
_lazy = threading.RLock()  # guards only what _made does; innermost


class OutcomeFuture(Convertible[T]):
    """The read side of something that is settled once. Thread-safe.

    Readers see the same outcome for ever; each reader of an error gets a fresh copy of it.
    """

    # _outcome: written once, after _value; read without a lock.
    # _value: the value, or the Failure; written before _outcome, by the settler only.
    # _waiters, _crowd: made by _made, then changed by atomic container calls only.
    __slots__ = ("__weakref__", "_crowd", "_outcome", "_value", "_waiters")

    _outcome: Any  # Any: an int that other threads change, which mypy would take for settled
    _value: Any  # Any: a T or a Failure, told apart by _outcome
    _waiters: list[Any] | None  # Any: a Wakeable; the promise keeps its claim token here too
    _crowd: dict[Wakeable, None] | None
    __reduce__ = stays_here

    # ---- polling and awaiting -------------------------------------------------------------

    def poll(self, waker: Waker = NOOP) -> Poll[T]:
        """Return the outcome, or keep *waker* (next to all others) and stay pending.

        Raises:
            BaseException: a fresh copy of the error, where the outcome is one.
        """
        if not self._outcome:
            if waker is NOOP:
                return PENDING
            if not _has(self._waiters, waker):  # polled again by the same task
                self._subscribe(waker)
            if not self._outcome:
                return PENDING
        del waker  # an error's traceback keeps this frame: it must not keep the task
        return Poll.ready(self._read())

    def __await__(self) -> Generator[Poll[Any], object, T]:  # noqa: C901 - a hot path
        task: Any = None  # Any: the executor's, which is more than a Waker
        if not self._outcome:
            executor = running.executor
            if executor is None:
                return (yield from await_elsewhere(self))
            task = executor._current
            self._subscribe(task)
            try:
                while not self._outcome:  # a spurious poll changes nothing
                    yield PENDING
            except BaseException as error:  # cancelled: do not keep the task in a list of ours
                self._unsubscribe(task)
                task = None
                if not is_refusal(error):
                    self._abandoned()
                    raise
        elif "trio" in modules and running.executor is None:
            yield from trio_checkpoint()  # wants a turn at each await
        if self._outcome == VALUE:
            value: T = self._value  # not cast(): a call for each await
            return value
        task = None  # the error's traceback keeps this frame, and the task keeps the error
        if not self._outcome:  # another loop, inside of a task of ours, has refused to wait
            return (yield from await_elsewhere(self))
        raise self._failure().view()

    # ---- plain threads --------------------------------------------------------------------

    def done(self) -> bool:
        """Tell whether the outcome is there."""
        return bool(self._outcome != OPEN)

    def cancelled(self) -> bool:
        """Tell whether the outcome is a cancellation."""
        return bool(self._outcome == CANCELLED)

    def result(self, timeout: float | None = None) -> T:
        """Return the value, waiting for it up to *timeout* seconds (None: without limit).

        Raises:
            TimeoutError: the outcome did not come in time; it is still to come.
            InvalidStateError: waiting here would block the very loop that has to settle it.
            TypeError, ValueError: *timeout* is no span of time.
            BaseException: a fresh copy of the error, where the outcome is one.

        A `KeyboardInterrupt` during the wait is raised at once; the work goes on.
        """
        if timeout is not None or not self._outcome:
            self._wait(timeout)
        return self._read()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return a fresh copy of the error, or None where the outcome is a value.

        Waits and raises `TimeoutError` as `result` does. A cancellation is an error like any
        other here: it is returned.
        """
        if timeout is not None or not self._outcome:
            self._wait(timeout)
        return None if self._outcome == VALUE else self._failure().view()

    def add_done_callback(self, func: Callable[[OutcomeFuture[T]], object]) -> None:
        """Call ``func(self)`` once when settled, or now where that is already so.

        It runs on the thread that settles (for a time limit: on one for such callbacks), in
        a copy of the context of this call. An `Exception` that it raises is logged; other
        callbacks still run. One that settles another future does not nest: that runs after it.

        Raises:
            TypeError: it comes from `asyncio.wait`, whose callbacks must run on its loop's thread.
        """
        if getattr(func, "__module__", None) == "asyncio.tasks":
            raise TypeError(
                f"asyncio.wait() cannot wait for {self!r} itself, which may be settled on any "
                "thread: give it .to_asyncio(), a future of its own loop"
            )
        self._subscribe(CallbackWaker(self, func, contextvars.copy_context()))

    # ---- settling -------------------------------------------------------------------------

    def _publish(self, outcome: int, value: object) -> None:
        """Make the outcome visible and wake everybody. Called once, by the settler."""
        self._value = value
        self._outcome = outcome
        if FREE_THREADED:
            full_fence()
        if self._waiters is not None:
            self._wake_all()

    def _wake_all(self) -> None:
        """Take out and wake every waiter, first come first woken. Needs _outcome set.

        Those that call functions come last: one may wait for what a woken thread does next.
        """
        waiters = self._waiters
        crowd = self._crowd
        batch: list[Wakeable] = []
        if waiters:
            try:
                while waiters:  # one by one: others take some at the same time
                    batch.append(waiters.pop())
            except IndexError:  # they took the last one
                pass
            batch.reverse()
        while crowd:
            # pop() gives None where it was us who took the waker out, and nobody else.
            batch += [waker for waker in list(crowd) if crowd.pop(waker, waker) is None]
        if len(batch) > 1:
            batch.sort(key=calls_functions)
        wake_each(batch)

    # ---- waiting --------------------------------------------------------------------------

    def _subscribe(self, waker: Wakeable) -> None:
        """Keep *waker* until settled; wake it at once where that has happened."""
        waiters = self._waiters
        if waiters is None:
            waiters = self._made("_waiters", [])
        if len(waiters) < _FEW:
            waiters.append(waker)
        else:
            self._join_crowd(waker)
        if FREE_THREADED:
            full_fence()
        if self._outcome:
            self._wake_all()

    def _made(self, field: str, fresh: Any) -> Any:  # noqa: ANN401 - of the field's type
        """Return what *field* holds; that is *fresh* where no other thread has put anything."""
        lock = _lazy
        _ = True in taking(lock)  # takes it: see `runtime.locking`
        try:
            if getattr(self, field) is None:
                setattr(self, field, fresh)
            return getattr(self, field)
        finally:
            lock.release()

    def _join_crowd(self, waker: Wakeable) -> None:
        crowd = self._crowd
        if crowd is None:
            crowd = self._made("_crowd", {})
        try:
            crowd[waker] = None
        except TypeError:  # a waker of the user's that is not hashable
            cast("list[Any]", self._waiters).append(waker)

    def _forget(self, waker: Waker) -> None:
        self._unsubscribe(waker)

    def _unsubscribe(self, waker: Wakeable) -> None:
        """Drop *waker*; does nothing where it is not kept (any more)."""
        waiters, crowd = self._waiters, self._crowd
        if waiters is not None:
            try:
                waiters.remove(waker)
            except ValueError:
                pass
            else:
                return
        if crowd is not None:
            try:
                crowd.pop(waker, None)
            except TypeError:  # not hashable: then it never was in there
                return

    def _waiting(self) -> list[Wakeable]:
        """Return who waits now, as far as anybody can know."""
        return [*(self._waiters or ()), *(self._crowd or {}).copy()]

    def _wait(self, timeout: float | None) -> None:
        """Block this thread until settled; raise `TimeoutError` after *timeout* seconds."""
        limit = check_timeout("timeout", timeout)
        if self._outcome:
            return
        if limit is None or limit > 0:
            self._check_blocking()
        waker = ThreadWaker()
        self._subscribe(waker)
        blocker = running.blocker
        try:
            if blocker is None or limit == 0:
                waker.park(limit)
            else:
                blocker.wait(self, limit, lambda: waker.park(limit))
        finally:
            self._unsubscribe(waker)
        if not self._outcome:
            raise FutureTimeoutError(f"waiting for {self!r}", cast("float", limit))

    def _check_blocking(self) -> None:
        """Hook: refuse a wait that can never end, or that this thread must not do."""
        executor = running.executor
        if executor is not None:
            executor._check_blocking(self)

    # ---- reading --------------------------------------------------------------------------

    def _read(self) -> T:
        if self._outcome == VALUE:
            value: T = self._value
            return value
        raise self._failure().view()

    def _failure(self) -> Failure:
        """Return the failure. Subclasses may make it here, on first sight."""
        return cast("Failure", self._value)

    def __repr__(self) -> str:
        words = ("pending", "ready", "failed", "cancelled")
        return f"<{type(self).__name__} {words[self._outcome]}>"


def _has(waiters: list[Any] | None, waker: Waker) -> bool:  # Any: see OutcomeFuture._waiters
    """Tell by identity: an ``==`` of the user's must not run here."""
    if not waiters:
        return False
    for kept in waiters[-_FEW:]:  # a copy: other threads take waiters out  # noqa: SIM110
        if kept is waker:
            return True
    return False


def reset_after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _lazy  # noqa: PLW0603 - see above
    _lazy = threading.RLock()
