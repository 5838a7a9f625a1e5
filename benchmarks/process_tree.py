"""Look at a process and all that it has started, from outside: memory, processor time, wake-ups."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Tree", "proportional")

PROC = Path("/proc")
KIB = 1024


class Tree:
    """A process and its descendants, as they were when this was made."""

    def __init__(self, root: int) -> None:
        self.root = root
        parents = _parents()
        self.pids = [root]
        for pid in self.pids:  # grows meanwhile
            self.pids += [child for child, parent in parents.items() if parent == pid]

    def memory(self) -> int:
        """Return the bytes that are nobody's file: each one's own, and shared without a name."""
        own = sum(_kib(f"{pid}/smaps_rollup", "Pss_Anon") for pid in self.pids)
        return own * KIB + _kib("meminfo", "Shmem") * KIB

    def proportional(self) -> int:
        """Return the bytes of all but the root; those that are shared count in parts."""
        return sum(proportional(pid) for pid in self.pids[1:])

    def processor_time(self) -> float:
        """Return the seconds that all of them have computed."""
        return sum(int(_read(thread / "schedstat").split()[0]) / 1e9 for thread in self._threads())

    def wake_ups(self) -> float:
        """Return how often their threads have gone to sleep."""
        lines = (
            line for thread in self._threads() for line in _read(thread / "status").splitlines()
        )
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))

    def kill(self) -> None:
        """End the descendants that are still there, whatever they do."""
        for pid in self.pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _threads(self) -> Iterator[Path]:
        for pid in self.pids:
            yield from (PROC / str(pid) / "task").iterdir()


def proportional(pid: int) -> int:
    """Return the bytes of one process; those that are shared count in parts (PSS)."""
    return _kib(f"{pid}/smaps_rollup", "Pss") * KIB


def _parents() -> dict[int, int]:
    """Return the parent of each process."""
    parents = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may have anything in it.
                parents[int(folder.name)] = int(
                    _read(folder / "stat").rpartition(")")[2].split()[1]
                )
    return parents


def _kib(name: str, key: str) -> int:
    for line in _read(PROC / name).splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0  # a process that has ended has no memory


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace")
