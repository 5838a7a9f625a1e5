"""What a block of code leaves behind: threads, child processes, open file descriptors.

Owns: the comparison of before and after, and the words of the complaint.
Threads: none of its own; the check looks at the whole process, so code that runs beside
the block in other threads is seen too.
Invariant: nothing found is touched; the check joins threads, and reaps or closes nothing.
Children and descriptors are read from ``/proc`` and are not checked where there is none.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, final

from runtime.clock import SYSTEM_CLOCK, check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ("LeakCheck", "LeakError", "Leaks")

_WATCHER: Final = "vela-deadlines"  # the one thread that a process keeps, whatever ends
_MOMENT: Final = 0.05  # seconds before cycles are looked for, which takes longer than most ends
_PAUSE: Final = 0.0005  # seconds from the first look at what cannot be joined to the second one
_LONGEST_PAUSE: Final = 0.005  # between looks, which take longer and longer


@final
@dataclass(frozen=True, slots=True)
class Leaks:
    """What was left behind, one description each; false where nothing was."""

    threads: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    descriptors: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.threads or self.children or self.descriptors)


class LeakError(AssertionError):
    """A block left something behind; a failed assertion, so that test runners show it as one.

    Args:
        leaks: What it was.
    """

    def __init__(self, leaks: Leaks) -> None:
        found = [
            *(f"thread {text}" for text in leaks.threads),
            *(f"child process {text}" for text in leaks.children),
            *(f"file descriptor {text}" for text in leaks.descriptors),
        ]
        super().__init__(
            f"{len(found)} left behind; shut pools down, close executors and files, "
            "join threads before the block ends:\n" + "\n".join(found)
        )
        self.leaks = leaks

    def __reduce__(self) -> tuple[type[LeakError], tuple[Leaks]]:
        return type(self), (self.leaks,)


@final
class LeakCheck:
    """Fails a block that ends with more threads, children or descriptors than it began with.

    ::

        with LeakCheck():
            with WorkerPool(max_workers=2) as pool:
                pool.spawn(work).result()

    Not thread-safe; one block after another may use the same check. A block that raises
    is not checked: its own error says more.

    Args:
        grace: Seconds in all that what is still ending has for it.
        ignore: Tells the threads that may stay. The process's one deadline watcher always may.

    Raises:
        LeakError: At the end of the block; names all that was found, threads with their stacks.
        ValueError: *grace* is negative or NaN.
    """

    def __init__(
        self, *, grace: float = 5.0, ignore: Callable[[threading.Thread], bool] | None = None
    ) -> None:
        self._grace = check_timeout("grace", grace)
        self._ignore = ignore
        self._threads: frozenset[threading.Thread] = frozenset()
        self._children: Mapping[int, str] = {}
        self._descriptors: Mapping[int, str] = {}

    def __enter__(self) -> Self:
        self._threads = frozenset(threading.enumerate())
        self._children = _children()
        self._descriptors = _descriptors()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        leaks = self.leaks()
        if leaks:
            raise LeakError(leaks)

    def leaks(self) -> Leaks:
        """Return what the block has left behind so far, after waiting for it to end.

        Returns at once where there is nothing, and after *grace* seconds at most.
        """
        if self._ends_within(
            _MOMENT if self._grace is None else min(_MOMENT, self._grace)
        ):  # threads that are just about to end, most of the time
            return Leaks()
        gc.collect()  # what only a reference cycle keeps open is not a leak of the block
        self._ends_within(self._grace)
        # Children and descriptors first: describing a thread opens its source files.
        children = tuple(f"{pid} {text}" for pid, text in self._new_children().items())
        descriptors = tuple(f"{fd} -> {text}" for fd, text in self._new_descriptors().items())
        threads = tuple(_describe(thread) for thread in self._new_threads())
        return Leaks(threads, children, descriptors)

    def _anything(self) -> bool:
        return bool(self._new_threads() or self._new_children() or self._new_descriptors())

    def _ends_within(self, grace: float | None) -> bool:
        """Tell whether nothing is left, after waiting up to *grace* seconds (None: for ever)."""
        end = None if grace is None else SYSTEM_CLOCK.now() + grace
        pause = threading.Event()  # never set: nobody announces that a child or a file is gone
        length = _PAUSE
        while self._anything():
            left = length if end is None else end - SYSTEM_CLOCK.now()
            if left <= 0:
                return False
            for thread in self._new_threads():
                # A thread that the threading module did not start cannot be joined.
                with suppress(RuntimeError, AssertionError):
                    thread.join(min(left, length))
            pause.wait(min(left, length))
            length = min(2 * length, _LONGEST_PAUSE)
        return True

    def _new_threads(self) -> list[threading.Thread]:
        alive = threading.enumerate()
        # A process has one watcher, started when it is first needed; a second one is a leak.
        watchers = [thread for thread in alive if thread.name == _WATCHER]
        expected = {*self._threads, *(watchers if len(watchers) == 1 else ())}
        return [
            thread
            for thread in alive
            if thread not in expected and not (self._ignore is not None and self._ignore(thread))
        ]

    def _new_children(self) -> dict[int, str]:
        return {pid: text for pid, text in _children().items() if pid not in self._children}

    def _new_descriptors(self) -> dict[int, str]:
        before = self._descriptors
        return {fd: text for fd, text in _descriptors().items() if before.get(fd) != text}


def _describe(thread: threading.Thread) -> str:
    """Return the thread's name and kind, and the stack where it is now."""
    kind = "daemon" if thread.daemon else "not daemon"
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (no stack)"
    return f"{thread.name!r} ({kind}), now at:\n{stack.rstrip()}"


def _children() -> dict[int, str]:
    """Return the process's children, ended ones that nobody reaped included."""
    found: dict[int, str] = {}
    with suppress(OSError):  # no such folder on this system
        for thread in os.listdir("/proc/self/task"):
            with (
                suppress(OSError),  # the thread ended since the folder was read
                open(f"/proc/self/task/{thread}/children", "rb", buffering=0) as file,
            ):
                for word in file.read().split():
                    found[int(word)] = _command(int(word))
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip() or "(ended, not reaped)"
    return "(gone)"


def _descriptors() -> dict[int, str]:
    """Return the open descriptors and what each leads to."""
    found: dict[int, str] = {}
    with suppress(OSError):  # no such folder on this system
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the one that listed the folder is closed by now
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found
