"""Children that are fresh interpreters, each started by this process itself.

Slower to start than forks of a template, and they share no memory; for systems where forks do
harm, and for modules that do not survive one.
Threads: one at a time. `SpawnSource.start` takes as long as the system needs to start a program.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import marshal
import os
import resource
import selectors
import sys
from typing import TYPE_CHECKING, Final, final

from runtime.backends.process.inherited import forget_after_fork
from runtime.backends.process.interpreter import (
    above_standard,
    end_process,
    open_interpreter,
    plan_of,
)
from runtime.backends.process.starting import (
    PROGRAM,
    ChildFds,
    Ended,
    Failed,
    SourceEvent,
    Started,
)
from runtime.backends.process.template_link import close_all, how_it_ended
from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

__all__ = ("SpawnSource",)

_REPORT: Final = 1 << 16  # bytes: what a pipe holds; a child's report is shorter
_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


class _Child:
    """One that was started and has not been waited for."""

    __slots__ = ("floor", "number", "process", "report")

    def __init__(
        self, number: int, process: subprocess.Popen[bytes], report: int, floor: int
    ) -> None:
        self.number = number
        self.process = process
        self.report = report  # a pipe that tells whether it came to its program; -1: it has told
        self.floor = floor  # the peak of this process: its own may contain that (see `_peak`)

    def hang_up(self) -> None:
        """Close the pipe."""
        close_all((self.report,))
        self.report = -1


@final
class SpawnSource:
    """See the module and `starting.ChildSource`.

    Args:
        preload: Modules that each child imports before it runs its program.
        program: What children run, as ``module:function``.
        executable: Their interpreter; by default `sys.executable`.
    """

    def __init__(
        self,
        preload: Sequence[str] = (),
        *,
        program: str = PROGRAM,
        executable: str | None = None,
    ) -> None:
        self._preload = list(preload)
        self._program = program
        self._executable = executable
        self._selector: selectors.DefaultSelector | None = None
        self._children: dict[int, _Child] = {}
        self._closed = False
        forget_after_fork(self)

    def start(self, number: int, fds: ChildFds) -> None:
        """See `ChildSource.start`."""
        if self._closed:
            raise WorkerStartError("cannot start a process: its pool is closed")
        copies: list[int] = []
        try:
            if self._selector is None:
                self._selector = selectors.DefaultSelector()
            # Copies, since a number below 3 would be taken for a standard stream over there.
            copies.extend(above_standard(os.dup(one)) if one >= 0 else -1 for one in fds)
            self._launch(number, copies, self._selector)
        except OSError as error:
            raise WorkerStartError(f"cannot start a process: {error}") from error
        finally:
            close_all(copies)

    def _launch(self, number: int, fds: list[int], selector: selectors.DefaultSelector) -> None:
        report, theirs = os.pipe()
        try:
            report, theirs = above_standard(report), above_standard(theirs)
            plan = plan_of(
                "runtime.backends.process.bootstrap",
                theirs,
                program=self._program,
                preload=self._preload,
                fds=fds,
            )
            os.set_blocking(report, False)
            floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            passed = [theirs, *(one for one in fds if one >= 0)]
            process = open_interpreter(plan, passed, self._executable)
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(theirs)
        child = self._children[number] = _Child(number, process, report, floor)
        selector.register(report, selectors.EVENT_READ, child)

    def fileno(self) -> int | None:
        """See `ChildSource.fileno`."""
        return None if self._selector is None else self._selector.fileno()

    def events(self) -> list[SourceEvent]:
        """See `ChildSource.events`."""
        selector = self._selector
        if selector is None:
            return []
        found: list[SourceEvent] = []
        for key, _ in selector.select(0):
            child: _Child = key.data
            selector.unregister(child.report)
            found.append(self._hear(child))
        return found

    def _hear(self, child: _Child) -> Started | Failed:
        report = os.read(child.report, _REPORT)
        child.hang_up()
        told = marshal.loads(report) if report else ("failed", -1, "", False)
        if told[0] == "ready":
            return Started(child.number, child.process.pid, _open_pidfd(child.process.pid))
        del self._children[child.number]
        status = end_process(child.process, 1.0)  # it is at its end
        text = told[2] or f"the process has died ({how_it_ended(status)}) before it was ready"
        return Failed(child.number, text, told[3])

    def abandon(self, number: int) -> None:
        """See `ChildSource.abandon`."""
        child = self._children.get(number)
        if child is not None and child.report >= 0:
            child.process.kill()

    def reap(self, number: int) -> Ended | None:
        """See `ChildSource.reap`."""
        child = self._children.get(number)
        if child is None:
            return Ended(number, None, None)
        status, peak = None, None
        try:
            pid, code, usage = os.wait4(child.process.pid, os.WNOHANG)
            if pid == 0:
                return None
            status, peak = os.waitstatus_to_exitcode(code), _peak(usage.ru_maxrss, child.floor)
        except ChildProcessError:  # this program ignores SIGCHLD, or waits for all children
            pass
        child.process.returncode = 0 if status is None else status  # it was waited for
        self._forget(child)
        return Ended(number, status, peak)

    def close(self) -> None:
        """See `ChildSource.close`."""
        self._closed = True
        for child in list(self._children.values()):
            end_process(child.process, 0.0)
            self._forget(child)
        self._drop()

    def forget(self) -> None:
        """See `ChildSource.forget`."""
        self._closed = True
        for child in self._children.values():
            child.process.returncode = 0  # not ours to wait for
            child.hang_up()
        self._children.clear()
        self._drop()

    def _forget(self, child: _Child) -> None:
        del self._children[child.number]
        if child.report >= 0 and self._selector is not None:
            self._selector.unregister(child.report)
            child.hang_up()

    def _drop(self) -> None:
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.close()


def _peak(highest: int, floor: int) -> int | None:
    """Return a child's peak in bytes, where it is known.

    Until a new process has loaded its program it is a copy of the one that started it, and
    the system counts that: what is not above it may not be the child's own.
    """
    return highest * _UNIT if highest > floor else None


def _open_pidfd(pid: int) -> int:
    try:
        return above_standard(os.pidfd_open(pid))
    except (AttributeError, OSError):  # not on this system, or it has ended and was waited for
        return -1
