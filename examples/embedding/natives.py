"""The functions that the host lends to guest programs.

A native gets the fiber that calls it. One that returns a `Future` makes that fiber, and nobody
else, wait for it: a guest call always waits, and ``spawn`` is how not to.
Threads: the executor's; the functions in `JOBS` run on workers.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from examples.embedding.errors import GuestError
from examples.embedding.fiber import Cancellable, Errand
from examples.embedding.values import Native, TaskValue, Value, kind, show
from runtime.async_runtime import Future, Poll, Waker, sleep
from runtime.errors import FutureTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from examples.embedding.fiber import Fiber

__all__ = ("JOBS", "Services", "standard_natives")


class Services(Protocol):
    """What natives need from the host."""

    def write(self, text: str) -> None:
        """Print."""
        ...

    def now(self) -> float:
        """Return the time on the host's clock."""
        ...

    def start_job(
        self, name: str, arguments: tuple[Value, ...]
    ) -> tuple[Cancellable, Callable[[], None]]:
        """Start the named function on a worker; return its future, and what to call at its end."""
        ...


# ---- what runs on workers: ordinary blocking Python functions -------------------------------


def _digest(text: str, rounds: int) -> str:
    data = text.encode() * 1000
    for _ in range(rounds):
        data = hashlib.sha256(data).digest()  # lets other threads run while it hashes
    return data.hex()


def _square(number: float) -> float:
    return number * number


def _divide(left: float, right: float) -> float:
    return left / right


JOBS: Final[Mapping[str, Callable[..., Value]]] = {
    "digest": _digest,
    "divide": _divide,
    "nap": time.sleep,  # any call that blocks
    "square": _square,
}


# ---- natives ------------------------------------------------------------------------------


class _Turn(Future[None]):
    """Pending once, and awake at once: everybody else who is ready goes first."""

    def __init__(self) -> None:
        self._waited = False

    def poll(self, waker: Waker) -> Poll[None]:  # type: ignore[override]  # polled by fibers only
        if self._waited:
            return Poll.ready(None)
        self._waited = True
        waker.wake()
        return Poll.pending()


def _pause(_fiber: Fiber) -> Value:
    return _Turn()


class _Limited(Future[Value]):
    """A task with a limit; being late is a guest error like any other."""

    def __init__(self, task: TaskValue, seconds: float) -> None:
        self._task = task
        self._seconds = seconds
        self._future = Future.timeout(task, seconds)

    def poll(self, waker: Waker) -> Poll[Value]:  # type: ignore[override]  # polled by fibers only
        try:
            return self._future.poll(waker)
        except FutureTimeoutError as error:
            late = f"{self._task!r} took longer than {self._seconds} s"
            raise GuestError(late) from error


def _sleep(_fiber: Fiber, seconds: Value) -> Value:
    _check_seconds("sleep", seconds)
    return Errand(sleep(seconds), str, _nothing)


def _check_seconds(name: str, seconds: Value) -> None:
    if type(seconds) not in (int, float) or not seconds >= 0:
        raise GuestError(f"{name} needs a number of seconds, 0 or more, got {show(seconds)}")


def _nothing() -> None:
    """A sleep keeps no books."""


def _all(_fiber: Fiber, tasks: Value) -> Value:
    return Future.all(_tasks("all", tasks))


def _first(_fiber: Fiber, tasks: Value) -> Value:
    return Future.race(_tasks("first", tasks))


def _timeout(_fiber: Fiber, seconds: Value, task: Value) -> Value:
    """Wait for *task* at most so long; then it is cancelled."""
    (wanted,) = _tasks("timeout", [task])
    _check_seconds("timeout", seconds)
    return _Limited(wanted, seconds)


def _cancel(fiber: Fiber, task: Value) -> Value:
    (wanted,) = _tasks("cancel", [task])
    if wanted.number == fiber.number:
        raise GuestError("a task cannot cancel itself: return from it")
    return wanted.handle.is_pending() and wanted.cancel()


def _tasks(name: str, values: Value) -> list[TaskValue]:
    if not isinstance(values, list):
        raise GuestError(f"{name} needs a list of tasks, got {kind(values)}")
    for value in values:
        if not isinstance(value, TaskValue):
            raise GuestError(f"{name} needs tasks, got {kind(value)}")
    return values


def _length(_fiber: Fiber, value: Value) -> Value:
    if not isinstance(value, (list, str)):
        raise GuestError(f"len needs a list or a string, got {kind(value)}")
    return len(value)


def _push(_fiber: Fiber, values: Value, value: Value) -> Value:
    if not isinstance(values, list):
        raise GuestError(f"push needs a list, got {kind(values)}")
    values.append(value)


def _floor(_fiber: Fiber, number: Value) -> Value:
    if type(number) not in (int, float):
        raise GuestError(f"floor needs a number, got {kind(number)}")
    return math.floor(number)


def _text(_fiber: Fiber, value: Value) -> Value:
    return show(value)


def standard_natives(services: Services) -> dict[str, Native]:
    """Return the names that every program can use."""

    def print_(_fiber: Fiber, *values: Value) -> None:
        services.write(" ".join(show(value) for value in values) + "\n")

    def clock(_fiber: Fiber) -> Value:
        return services.now()

    def work(_fiber: Fiber, name: Value, *arguments: Value) -> Value:
        if not isinstance(name, str):
            raise GuestError(f"work needs the name of a job, got {kind(name)}")
        future, on_end = services.start_job(name, arguments)
        return Errand(
            future, lambda error: f"work {name} failed: {type(error).__name__}: {error}", on_end
        )

    any_number = 1 << 30
    natives = [
        Native("all", _all, (1, 1)),
        Native("cancel", _cancel, (1, 1)),
        Native("clock", clock, (0, 0)),
        Native("first", _first, (1, 1)),
        Native("floor", _floor, (1, 1)),
        Native("len", _length, (1, 1)),
        Native("pause", _pause, (0, 0)),
        Native("print", print_, (0, any_number)),
        Native("push", _push, (2, 2)),
        Native("sleep", _sleep, (1, 1)),
        Native("text", _text, (1, 1)),
        Native("timeout", _timeout, (2, 2)),
        Native("work", work, (1, any_number)),
    ]
    return {native.name: native for native in natives}
