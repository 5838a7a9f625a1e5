"""What a child sets for its process before the first job, and what is left of it after a crash.

Owns: the limit of the address space, the standard input, and the crash report: the text that
`faulthandler` writes into the page that child and parent share.
Threads: the child's own, before the first job; `read_fault_report` is for the parent, any thread.

Left alone, because they belong to whoever runs the program: umask, core dumps, priorities.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import Final

__all__ = (
    "detach_stdin",
    "enable_fault_reports",
    "read_fault_report",
    "set_memory_limit",
)

_REPORT: Final = 64 * 1024  # bytes of a crash report that are shown
_SCRAP: Final = 16 * 1024 * 1024  # address space without which not even an error could be raised


def set_memory_limit(max_bytes: int) -> None:
    """Let this process have no more than *max_bytes* of address space (``RLIMIT_AS``).

    What goes beyond it fails with `MemoryError`. Address space is more than memory: it counts
    what is mapped and never touched, eight MiB for the stack of each thread among it.

    Raises:
        ValueError: this process has (nearly) as much already, or the system refuses.
        NotImplementedError: the system has no such limit.
    """
    try:
        import resource  # noqa: PLC0415 - not everywhere
    except ImportError:
        raise NotImplementedError("this system has no limit of the address space") from None
    taken = _address_space()
    if max_bytes < taken + _SCRAP:
        raise ValueError(
            f"a memory limit of {max_bytes} bytes is too low: a child without any job already "
            f"has {taken} bytes of address space; give more, or preload less"
        )
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = max_bytes if hard == resource.RLIM_INFINITY else min(max_bytes, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
    except OSError as error:  # not everywhere where there is the constant
        raise ValueError(f"the system refuses a memory limit of {wanted} bytes: {error}") from error


def _address_space() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def enable_fault_reports(page_fd: int, offset: int) -> None:
    """Write the stacks of all threads into *page_fd*, from *offset* on, when this process dies.

    That is on a fatal signal, by `faulthandler.enable`, and on SIGTERM, which then goes on to do
    what it did before. A process that a job forks has none of this.
    """
    os.lseek(page_fd, offset, os.SEEK_SET)
    faulthandler.enable(page_fd)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGTERM, page_fd, chain=True)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_disable_fault_reports)


def _disable_fault_reports() -> None:
    faulthandler.disable()
    if hasattr(faulthandler, "unregister"):
        faulthandler.unregister(signal.SIGTERM)


def read_fault_report(page_fd: int, offset: int) -> str:
    """Return what a dead child left in its page; empty for nothing. Never raises."""
    try:
        data = os.pread(page_fd, _REPORT, offset)
    except OSError:
        return ""
    text = data.partition(b"\0")[0].decode("ascii", "backslashreplace")
    # A child can write here what it likes; a terminal must not obey it.
    return "".join(
        each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text
    ).strip("\n")


def detach_stdin() -> None:
    """Let this process's standard input be at its end: a job must not eat the program's."""
    fd = os.open(os.devnull, os.O_RDONLY)
    if fd != 0:
        os.dup2(fd, 0)
        os.close(fd)
    else:
        os.set_inheritable(0, True)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
