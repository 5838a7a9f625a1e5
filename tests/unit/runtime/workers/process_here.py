"""Jobs for processes, and what their tests look at. Imported in children: it must stay light."""

from __future__ import annotations

import contextvars
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from runtime.workers import Worker
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.workers import WorkerPool
    from tests.unit.runtime.far_gates import FarGate

__all__ = (
    "SHADE",
    "SIZE",
    "busy",
    "fail",
    "note",
    "noted",
    "sleep_for_long",
    "suicide",
    "wait_until",
)

SHADE: contextvars.ContextVar[str] = contextvars.ContextVar("SHADE")
SIZE: contextvars.ContextVar[int] = contextvars.ContextVar("SIZE", default=0)
_notes: Final[list[object]] = []


def fail(*what: object) -> None:
    """Raise."""
    raise ValueError("of the job", *what)


def note(what: object) -> None:
    """Keep *what* in this process."""
    _notes.append(what)


def noted() -> list[object]:
    """Return what was kept in this process."""
    return _notes


def sleep_for_long(gate: FarGate[Any]) -> None:
    """Sleep until it is asked to stop."""
    gate.tell_begun()
    Worker.current().sleep(3600.0)


def busy(gate: FarGate[Any]) -> None:
    """Run until something interrupts it."""
    gate.tell_begun()
    end = time.monotonic() + GUARD
    while time.monotonic() < end:
        pass


def suicide() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_until(pool: WorkerPool, condition: Callable[[], bool]) -> None:
    """Wait until *condition*, of what *pool* counts, holds."""
    watchers = pool._backend._fleet.watchers  # type: ignore[attr-defined]  # of processes
    assert watchers.wait(condition, GUARD), "it did not come to that"
