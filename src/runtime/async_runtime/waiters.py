"""Those who wait for a future without being a task: a blocked thread, a callback.

Source: async-runtime-spec.md, section 3.3; ADR-003.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from runtime.async_runtime.callback_thread import must_hand_over, submit
from runtime.logs import logger

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterable

__all__ = (
    "CallbackWaker",
    "SleepWaker",
    "ThreadWaker",
    "Wakeable",
    "calls_functions",
    "log_wake_error",
    "wake_each",
)


class Wakeable(Protocol):
    """All that a future needs of who waits for it."""

    def wake(self) -> None:
        """See `Waker.wake`."""
        ...


class ThreadWaker:
    """Parks one thread until `wake`; a wake that comes first is remembered."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> None:
        """Let the thread go on. Thread-safe."""
        try:
            self._gate.release()
        except RuntimeError:  # woken twice is woken
            return

    def park(self, timeout: float | None) -> bool:
        """Wait; False after *timeout* seconds (None: no limit). Signals interrupt it."""
        if timeout is None:
            return self._gate.acquire()
        return self._gate.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))


class SleepWaker(ThreadWaker):
    """Parks the thread that runs a job: it waits for a word to stop, not for the outcome."""

    __slots__ = ()


class _Trampoline(threading.local):
    """Callbacks of this thread that wait for the one that runs: no recursion in chains."""

    queue: deque[CallbackWaker] | None = None


_trampoline = _Trampoline()


class CallbackWaker:
    """Calls ``func(future)`` in *context* when woken."""

    __slots__ = ("_context", "_func", "_future")
    wakes_last = True  # see `calls_functions`

    def __init__(
        self,
        future: object,
        func: Callable[[Any], object],  # Any: the future's own type, known to the caller
        context: contextvars.Context,
    ) -> None:
        self._future = future
        self._func = func
        self._context = context

    def wake(self) -> None:
        """Run the callback, or line it up: behind the one that runs here, or for another thread."""
        if must_hand_over():
            submit(self._line_up)
        else:
            self._line_up()

    def _line_up(self) -> None:
        if _trampoline.queue is not None:
            _trampoline.queue.append(self)
            return
        queue = _trampoline.queue = deque((self,))
        try:
            while queue:  # grows while we go through it
                queue.popleft()._call()
        finally:
            _trampoline.queue = None
            if queue:  # a KeyboardInterrupt or its kind is on its way out: the others still run
                wake_each(queue)

    def _call(self) -> None:
        try:
            self._context.run(self._func, self._future)
        except Exception:  # noqa: BLE001 - reported
            logger(__name__).exception(
                "the callback %r of %r raised; other callbacks still run", self._func, self._future
            )


def calls_functions(waker: Wakeable) -> bool:
    """Tell whether waking it calls what others wrote, on this thread, as its class says."""
    return getattr(type(waker), "wakes_last", False)


def wake_each(wakers: Iterable[Wakeable]) -> None:
    """Wake all of them, whatever some raise.

    An `Exception` is logged. Of other exceptions (`KeyboardInterrupt`, `SystemExit`) the
    first one is raised after everybody was woken.
    """
    interrupt: BaseException | None = None
    rest = iter(wakers)
    while True:
        try:
            for waker in rest:
                try:
                    waker.wake()
                except Exception:  # noqa: BLE001 - reported
                    log_wake_error(waker)
            break
        except BaseException as error:  # noqa: BLE001 - raised below; it may come between two
            interrupt = error if interrupt is None else interrupt
    if interrupt is not None:
        raise interrupt


def log_wake_error(waker: Wakeable) -> None:
    """Report, from an ``except`` block, that a user's waker raised."""
    logger(__name__).exception("the waker %r raised; others still wake", waker)
