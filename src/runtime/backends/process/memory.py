"""How much memory a process has: another one, for the statistics; this one, for its limit.

Threads: any; nothing is kept but what `MemoryGrowth` was told at its start.

Three numbers, since a forked child shares most of its pages with the process it was forked from:
resident memory (RSS) counts shared pages in full in each process; proportional memory (PSS) counts
each page once over all processes that share it; and *growth*, what a process has taken for
itself since its start. ``max_rss_bytes`` is compared with the growth: a child that was forked from
a process with large preloaded modules has not taken what they have, and recycling it would give
nothing back.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final, NamedTuple

__all__ = ("Memory", "MemoryGrowth", "memory_of", "own_private_bytes")

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Memory(NamedTuple):
    """The memory of a process, in bytes; ``None``: the system does not tell."""

    rss_bytes: int
    pss_bytes: int | None
    peak_bytes: int | None  # the highest RSS so far


def memory_of(pid: int) -> Memory | None:
    """Return the memory of process *pid*; ``None`` where it is gone or nothing can be known.

    From ``/proc`` where there is one, else from `psutil` where that is installed. Takes some
    0.2 ms and more for a large process.
    """
    status = _fields(f"/proc/{pid}/status")
    if "VmRSS" in status:
        pss = _fields(f"/proc/{pid}/smaps_rollup").get("Pss")
        return Memory(status["VmRSS"], pss, status.get("VmHWM"))
    return None if sys.platform == "linux" else _memory_by_psutil(pid)


def _fields(path: str) -> dict[str, int]:
    """Return the lines of the form ``Name: 12 kB``, in bytes; nothing where there is no file."""
    try:
        with open(path, "rb") as file:
            lines = file.read().decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    found = (line.removesuffix(" kB").partition(":") for line in lines if line.endswith(" kB"))
    return {name: int(number) * 1024 for name, _, number in found}


def _memory_by_psutil(pid: int) -> Memory | None:
    try:
        psutil: Any = importlib.import_module("psutil")  # Any: it has no types of its own
        info = psutil.Process(pid).memory_info()
    except Exception:  # noqa: BLE001 - not installed, process gone, not allowed
        return None
    return Memory(info.rss, getattr(info, "pss", None), getattr(info, "peak_wset", None))


def own_private_bytes() -> int | None:
    """Return the resident memory of this process that belongs to no file (5 us); ``None``: unknown.

    Heaps, stacks and private copies; not the mapped code, files and shared memory.
    """
    try:
        # Opened each time: a descriptor that is kept may be closed by a job, and be another's then.
        fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _, resident, shared, *_ = os.read(fd, 256).split()
        finally:
            os.close(fd)
    except (OSError, ValueError):
        memory = _memory_by_psutil(os.getpid())
        return memory.rss_bytes if memory else None
    return (int(resident) - int(shared)) * _PAGE


class MemoryGrowth:
    """What this process has taken for itself since this object was made."""

    __slots__ = ("_at_start",)

    def __init__(self) -> None:
        self._at_start = own_private_bytes()

    def in_bytes(self) -> int | None:
        """Return the growth, never negative; ``None`` where it cannot be known."""
        now = own_private_bytes()
        if now is None or self._at_start is None:
            return None
        return max(0, now - self._at_start)
