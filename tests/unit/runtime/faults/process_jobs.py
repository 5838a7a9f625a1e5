"""Jobs that misbehave in a worker process, and the looks that tests take at those processes."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.workers import WorkerPool

__all__ = (
    "DEATHS",
    "DieHere",
    "HangHere",
    "RaiseHere",
    "die",
    "double",
    "hang",
    "hang_stubbornly",
    "idle_pid",
    "is_alive",
    "kill_if_there",
    "pid_in",
    "spin_in_c",
    "tell",
    "until",
)

# How a process can end: the exit code, as of `subprocess`.
DEATHS: Final = {"exit": 7, "abort": -6, "fault": -11, "kill": -9, "term": -15}


def until(condition: Callable[[], object], what: str = "it did not come about") -> None:
    """Wait for what nobody announces: the state of another process."""
    pause = threading.Event()
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end, what
        pause.wait(0.002)


def is_alive(pid: int) -> bool:
    """Tell whether process *pid* runs, or could."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def idle_pid(pool: WorkerPool) -> int:
    """Return the process of a pool with one worker, when that is idle."""
    until(lambda: [child.state for child in pool.statistics().children] == ["idle"])
    pid = pool.statistics().children[0].pid
    assert pid > 0, "a signal to process 0 would be one to all of us"
    return pid


def kill_if_there(pid: int) -> bool:
    """Kill process *pid*; tell whether there was one."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def pid_in(path: Path) -> int:
    """Wait until a job has told its process id there."""
    until(path.exists, "the job did not begin")
    return int(path.read_text())


def tell(path: Path) -> None:
    """Tell, in the job, that it runs."""
    draft = path.with_suffix(".draft")
    draft.write_text(str(os.getpid()))
    draft.rename(path)


def double(number: int) -> int:
    """Do what jobs usually do."""
    return 2 * number


def hang(path: Path) -> NoReturn:
    """Never return."""
    tell(path)
    while True:
        time.sleep(60)


def hang_stubbornly(path: Path) -> NoReturn:
    """Never return, whoever asks."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(path)


def spin_in_c(path: Path, how: str) -> None:
    """Be in one call into C, which holds the GIL, for hours."""
    tell(path)
    if how == "pow":
        pow(3, 10**9)
    else:
        re.match(r"(a|a)+$", "a" * 60 + "b")


def die(how: str) -> None:
    """End the process."""
    if how == "exit":
        os._exit(7)
    elif how == "abort":
        os.abort()
    elif how == "fault":
        ctypes.string_at(0)
    else:
        os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)


def _die_elsewhere(home: int, how: str) -> str:
    if os.getpid() != home:
        die(how)
    return "at home"


def _hang_elsewhere(home: int, path: str) -> str:
    if os.getpid() != home:
        hang(Path(path))
    return "at home"


def _raise_elsewhere(home: int, error: BaseException) -> str:
    if os.getpid() != home:
        raise error
    return "at home"


class _Elsewhere:
    """Does harm where it is unpickled, unless that is where it was made."""

    def __init__(self, call: Callable[..., object], *args: object) -> None:
        self._call, self._args = call, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:  # Any: pickle's own
        return self._call, (os.getpid(), *self._args)


class DieHere(_Elsewhere):
    """Ends the process in which it is unpickled."""

    def __init__(self, how: str) -> None:
        super().__init__(_die_elsewhere, how)


class HangHere(_Elsewhere):
    """Is never done with being unpickled."""

    def __init__(self, path: Path) -> None:
        super().__init__(_hang_elsewhere, str(path))


class RaiseHere(_Elsewhere):
    """Cannot be unpickled."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(_raise_elsewhere, error)
