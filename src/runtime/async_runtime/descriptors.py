"""Waiting until a descriptor can be read from or written to.

The executor that polls such a future watches the descriptor for it, in its own thread, and sleeps
in a selector while there is any; otherwise it sleeps as ever (`parking`).
Threads: made and cancelled anywhere; waited for in the tasks of an executor.
Source: async-runtime-spec.md, section 7.5; ADR-012.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from runtime.async_runtime.failure import Failure
from runtime.async_runtime.outcome import ERROR, VALUE, OutcomeFuture
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.running import running
from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Generator

    from runtime.async_runtime.executor import Executor
    from runtime.async_runtime.poll import Poll
    from runtime.async_runtime.waiters import Wakeable

__all__ = (
    "DescriptorFuture",
    "HasFileno",
    "notify_closing",
    "wait_readable",
    "wait_writable",
)

_READ: Final = 1  # as in `selectors`, which is not loaded before somebody waits
_WRITE: Final = 2
_CLOSED: Final = -1
_HANDLES: Final = os.name == "nt"  # there a socket's number is no descriptor, and tells nothing


class HasFileno(Protocol):
    """A socket, a pipe's end, or anything else with a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


@final
class DescriptorFuture(PromiseFuture[None]):
    """Ready when a descriptor is; see `wait_readable`. Thread-safe."""

    __slots__ = ("_executors", "descriptor", "event")

    def __init__(self, descriptor: int, event: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.event = event
        self._executors: list[Executor] = []  # that watch for it; atomic list calls only

    def __await__(self) -> Generator[Poll[Any], object, None]:
        return OutcomeFuture.__await__(self)  # it calls _subscribe, which has the loop watch

    def cancel(self) -> bool:
        """Settle as cancelled and do not watch any more; False where it was ready before."""
        cancelled = super().cancel()
        if cancelled:
            self._unwatch()
        return cancelled

    def settle_ready(self) -> None:
        """The descriptor is ready. Called by the loop that watches."""
        self._settle(VALUE, None)
        self._unwatch()

    def settle_closed(self, error: Exception) -> None:
        """It never will be. Called by the loop that watches."""
        self._settle(ERROR, Failure(error))
        self._unwatch()

    def _subscribe(self, waker: Wakeable) -> None:
        if not self._outcome:
            self._watch()
        OutcomeFuture._subscribe(self, waker)

    def _unsubscribe(self, waker: Wakeable) -> None:
        super()._unsubscribe(waker)
        if not self._outcome and not self._waiting():
            self._unwatch()
            if self._waiting():  # somebody came before that
                self._watch()

    def _watch(self) -> None:
        executor = running.executor
        if executor is None:
            if self._executors:  # a task of it waits already, so it is watched
                return
            raise InvalidStateError(
                f"{self!r} has to be awaited in a task of an executor, which then watches it"
            )
        if executor not in self._executors:
            self._executors.append(executor)
            try:
                executor._watch(self)
            except (OSError, ValueError) as error:
                self.settle_closed(error)

    def _unwatch(self) -> None:
        executors, self._executors = self._executors, []
        for executor in executors:
            executor._unwatch(self)

    def __repr__(self) -> str:
        what = "readable" if self.event == _READ else "writable"
        return f"<wait until {self.descriptor} is {what}>"


def wait_readable(descriptor: int | HasFileno) -> DescriptorFuture:
    """Return a future that is ready when *descriptor* can be read from without waiting.

    Also at the end of what can be read, and where reading would fail. It is watched
    while a task of an executor waits for it, from its first poll on.

    Args:
        descriptor: A number, or an object with ``fileno()``, such as a socket.

    The future fails with OSError where the descriptor is closed, is nothing that the system can
    watch (a regular file), or is the executor's own; and with `DescriptorClosedError` after
    `notify_closing`.
    """
    return _wait(_number(descriptor), _READ)


def wait_writable(descriptor: int | HasFileno) -> DescriptorFuture:
    """Return a future that is ready when *descriptor* takes more; else as `wait_readable`."""
    return _wait(_number(descriptor), _WRITE)


def notify_closing(descriptor: int | HasFileno) -> None:
    """Say, in a task or callback of an executor, that *descriptor* is about to be closed.

    Tasks of that executor that wait for it get `DescriptorClosedError`. Without this they would
    wait for ever: the system says nothing about a descriptor that is closed while watched.

    Raises:
        InvalidStateError: no executor runs on this thread.
    """
    executor = running.executor
    if executor is None:
        raise InvalidStateError(
            "notify_closing() tells the executor that runs on this thread, and none does: "
            "call it in a task of the executor whose tasks wait"
        )
    watcher = executor._parker.watcher
    if watcher is not None:
        watcher.close_descriptor(_number(descriptor))


def _wait(descriptor: int, event: int) -> DescriptorFuture:
    future = DescriptorFuture(descriptor, event)
    # Looked at here: at the first poll a number that is free may be given to the executor's bell.
    if not _is_open(descriptor):
        future.settle_closed(
            OSError(
                errno.EBADF,
                f"descriptor {descriptor} is closed: wait for one before it is closed",
            )
        )
    return future


def _number(descriptor: int | HasFileno) -> int:
    if isinstance(descriptor, int):
        return descriptor
    try:
        return descriptor.fileno()
    except ValueError:
        if getattr(descriptor, "closed", False):  # a file; a closed socket says -1 itself
            return _CLOSED
        raise


def _is_open(descriptor: int) -> bool:
    if descriptor < 0:
        return False
    if _HANDLES:
        return True
    try:
        os.get_inheritable(descriptor)  # the cheapest question that only an open one answers
    except (OSError, OverflowError):
        return False
    return True
