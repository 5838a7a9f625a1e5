"""Functions for jobs: children import them by name."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "BadError",
    "Farewell",
    "LengthlessError",
    "Made",
    "Packed",
    "Thing",
    "UntrueError",
    "capture",
    "fail_with",
    "give",
    "make",
    "make_thing",
    "name_of_thread",
    "raise_bad",
    "set_variable",
    "suicide",
    "variable",
    "who",
)


T = TypeVar("T")


class BadError(Exception):
    """What a job raises."""


class UntrueError(Exception):
    """Is an error, though ``if error`` does not say so."""

    def __bool__(self) -> bool:
        return False


class LengthlessError(Exception):
    """As `UntrueError`."""

    def __len__(self) -> int:
        return 0


class Thing:
    """Something that can be watched by a weak reference."""

    def method(self) -> None:
        """Do nothing."""


class Packed:
    """Calls *func* with *args* when it is packed."""

    def __init__(self, func: Callable[..., object], *args: object) -> None:
        self.func, self.args = func, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        self.func(*self.args)
        return give, (None,)


class Made:
    """Calls *func* with *args* when it is unpacked."""

    def __init__(self, func: Callable[..., object], *args: object) -> None:
        self.func, self.args = func, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.func, self.args


class Farewell:
    """Leaves a file at *path* when it goes, in any process but the one that made it."""

    def __init__(self, path: str) -> None:
        self.path, self.home = path, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.home:
            Path(self.path).touch()


def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:  # Any: as given
    """Return the arguments."""
    return args, kwargs


def give(value: T) -> T:
    """Return *value*."""
    return value


def make(kind: Callable[..., T], *args: object) -> T:
    """Return a new one, that nobody packs on the way here."""
    return kind(*args)


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


def suicide(*_: object) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def who() -> tuple[int, int]:
    """Return the numbers of this process and of this thread."""
    return os.getpid(), threading.get_ident()


def name_of_thread() -> str:
    """Return the name of the thread that runs this."""
    return threading.current_thread().name
