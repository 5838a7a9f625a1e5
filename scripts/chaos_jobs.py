"""What the jobs of a chaos run do, in their worker processes; see `chaos`.

Each function takes one number, which its result is made from, so that an answer that belongs to
another job is noticed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DEADLY", "HARMLESS", "MadeToFailError", "answer_of")

LARGE: Final = 3 << 20


class MadeToFailError(Exception):
    """What jobs fail with that should."""


class _Liar:
    """Is pickled, and then cannot be rebuilt."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _refuse, ()


def _refuse() -> None:
    raise MadeToFailError("this cannot be rebuilt")


def echo(number: int) -> int:
    """Return what came."""
    return number


def text(number: int) -> str:
    """Print, and return text."""
    print("job", number)
    return str(number)


def large(number: int, data: bytes = b"") -> bytes:
    """Take much, return much."""
    return number.to_bytes(8, "little") * ((len(data) or LARGE) // 8)


def crowd(number: int) -> list[tuple[int, str]]:
    """Return what is long, and in one piece on the socket."""
    return [(number, str(index)) for index in range(20_000)]


def pause(number: int) -> int:
    """Take a moment."""
    time.sleep(number % 7 / 500)
    return number


def fail(number: int) -> int:
    """Fail."""
    raise MadeToFailError(number)


def lie(number: int) -> object:  # noqa: ARG001 - all take one
    """Return what cannot be rebuilt."""
    return _Liar()


def lock(number: int) -> object:  # noqa: ARG001 - all take one
    """Return what cannot be pickled."""
    return threading.Lock()


def leave(number: int) -> int:
    """Raise SystemExit."""
    sys.exit(number)


def fork(number: int) -> int:
    """Fork; the copy leaves as programs do."""
    pid = os.fork()
    if not pid:
        sys.exit(number % 100)
    return number if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number % 100 else -1


def close_streams(number: int) -> int:
    """Close what all programs have open."""
    os.close(1)
    return number


def ignore_sigterm(number: int) -> int:
    """Be stubborn from now on."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return number


def exit_now(number: int) -> int:
    """End the process."""
    os._exit(number % 100 + 1)


def abort(number: int) -> int:  # noqa: ARG001 - all take one
    """Have the process aborted."""
    os.abort()


def fault(number: int) -> int:
    """Read where nothing is."""
    ctypes.string_at(0)
    return number


def kill_self(number: int) -> int:
    """Be killed, in the middle."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def close_all(number: int) -> int:
    """Close every descriptor, the channel's among them."""
    os.closerange(3, 256)
    return number


def hang(number: int) -> int:
    """Never return."""
    time.sleep(3600)
    return number


def hold(number: int) -> int:
    """Compute for ever in C, which holds the GIL."""
    return number + cast("int", pow(3, 10**9))


HARMLESS: Final = (
    echo, echo, echo, text, large, crowd, pause, pause, fail, lie, lock, leave, fork,
    close_streams, ignore_sigterm,
)  # fmt: skip
DEADLY: Final = (exit_now, abort, fault, kill_self, close_all, hang, hold)
"""Jobs that end their process, or never end."""


def answer_of(function: Callable[..., object], number: int, size: int) -> object:
    """Return what *function* gives for *number* where nothing goes wrong; None for an error."""
    if function in {fail, lie, lock, leave} or function in DEADLY:
        return None
    if function is text:
        return str(number)
    if function is large:
        return number.to_bytes(8, "little") * ((size or LARGE) // 8)
    if function is crowd:
        return crowd(number)
    return number
