"""What the children are given to do: every peer's children can import it, and quickly."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = (
    "echo",
    "endless",
    "filled",
    "hold",
    "meet",
    "meet_with_numpy",
    "nothing",
    "spin",
    "touch",
    "touched",
)

A_LOOK = 0.0002  # seconds between two looks at a folder
PATIENCE = 60.0  # seconds: only a hang takes longer
RELEASE = "release"
STRIDE = 512  # one number of each page: memory that nobody reads costs nothing


def nothing() -> None:
    """Do no work: what is left is the way there and back."""


def echo(value: Any) -> Any:  # noqa: ANN401 - whatever it was
    """Give back what came."""
    return value


def spin(seconds: float) -> None:
    """Compute for so long, by the clock on the wall."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def meet(folder: str, count: int = 2) -> int:
    """Return this process's id once *count* processes are here."""
    _leave(folder, str(os.getpid()))
    end = time.monotonic() + PATIENCE
    while len(os.listdir(folder)) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"fewer than {count} came")
        time.sleep(A_LOOK)
    return os.getpid()


def meet_with_numpy(folder: str, count: int = 2) -> int:
    """Do the same once numpy is imported."""
    importlib.import_module("numpy")
    return meet(folder, count)


def hold(folder: str, name: str) -> int:
    """Leave this process's id in *folder* as *name*; stay until the file of release is there."""
    _leave(folder, name, str(os.getpid()))
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(FileNotFoundError):  # the whole folder is gone: released as well
        while RELEASE not in os.listdir(folder) and time.monotonic() < end:
            time.sleep(A_LOOK)
    return os.getpid()


def endless(folder: str, name: str) -> NoReturn:
    """Leave this process's id in *folder* as *name*; never end."""
    _leave(folder, name, str(os.getpid()))
    while True:
        pass


def touch(array: Any) -> float:  # noqa: ANN401 - numpy is not always there
    """Read something of each page."""
    return float(array[::STRIDE].sum())


def touched(array: Any) -> Any:  # noqa: ANN401 - as above
    """Read something of each page; give back the array itself."""
    touch(array)
    return array


def filled(count: int) -> Any:  # noqa: ANN401 - as above
    """Make an array of *count* numbers, all in use."""
    return importlib.import_module("numpy").ones(count)


def _leave(folder: str, name: str, text: str = "") -> None:
    """Make a file that is there with all its text, or not at all."""
    path = os.path.join(folder, name)
    if not text:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        return
    hidden = f"{folder}.{name}"
    with open(hidden, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(hidden, path)
