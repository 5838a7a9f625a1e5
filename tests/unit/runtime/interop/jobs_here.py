"""Functions for jobs: children import them by name."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, TypeVar

__all__ = (
    "BadError",
    "Thing",
    "capture",
    "fail_with",
    "give",
    "make_thing",
    "name_of_thread",
    "raise_bad",
    "set_variable",
    "suicide",
    "variable",
)


T = TypeVar("T")


class BadError(Exception):
    """What a job raises."""


class Thing:
    """Something that can be watched by a weak reference."""

    def method(self) -> None:
        """Do nothing."""


def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:  # Any: as given
    """Return the arguments."""
    return args, kwargs


def give(value: T) -> T:
    """Return *value*."""
    return value


def make_thing(_: object) -> Thing:
    """Return a new one."""
    return Thing()


def fail_with(error: BaseException) -> None:
    """Raise *error*."""
    raise error


def raise_bad(number: int = 0) -> None:
    """Raise an error that was made here."""
    error = BadError("bad", number)
    error.add_note("noted")
    raise error


def set_variable(value: str) -> None:
    """Set an environment variable of this process."""
    os.environ["VELA_TEST"] = value


def variable() -> str | None:
    """Return that variable."""
    return os.environ.get("VELA_TEST")


def suicide() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def name_of_thread() -> str:
    """Return the name of the thread that runs this."""
    return threading.current_thread().name
