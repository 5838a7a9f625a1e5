"""The template: a process of one thread that forks children and does nothing else.

It loads the pool's program and what is to be preloaded, then answers requests. Messages are
packets (each one whole, in both directions), descriptors come with them:

- request: ``(number, folder, path)``, the child's descriptors;
- answers: ``("ready",)``; ``("started", number, pid)`` with a pidfd; ``("failed", number, text,
  permanent)``: no child was forked; ``("ended", number, status, peak)``, the peak in KiB;
- and from a child that cannot run its program: ``("unfit", number, text, permanent)``.

Threads: one; a module that starts another one when it is imported is refused, since a fork of a
process with threads may hang (threads of C libraries are those libraries' affair).
It ends when the pool closes the socket, as any interpreter does, so handlers of `atexit` that
preloaded modules have registered run once, here; and at once when the pool's process dies.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import array
import gc
import importlib
import marshal
import os
import select
import socket
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, final

from runtime.backends.process.bootstrap import (
    FAILED_STATUS,
    failure,
    last_error,
    load_program,
    run_program,
    settle,
    settle_signals,
)
from runtime.backends.process.lifeline import arm_lifeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.backends.process.bootstrap import Program

__all__ = ("Request", "Template", "main")

_MARSHAL: Final = 4
_PACKET: Final = 1 << 18  # more than the system sends in one
_MOST: Final = 8  # descriptors in one packet
_PAUSE: Final = 50  # milliseconds between looks at children that cannot be waited for


class Request(NamedTuple):
    """What a child is to be; *fds* has -1 where there is no descriptor."""

    number: int
    folder: str | None  # None: the one that this process is in
    path: list[str] | None  # None: the one that this process has
    fds: Sequence[int]


def main(plan: dict[str, Any]) -> None:  # Any: see `interpreter.plan_of`
    """Be the template until the pool lets go."""
    settle(plan)
    lifeline, report = plan["lifeline"], plan["report"]
    os.set_inheritable(lifeline, False)
    os.set_inheritable(report, False)
    arm_lifeline(lifeline)
    template = Template(socket.socket(fileno=report), lifeline)
    template.load(plan["program"], plan["preload"])
    request = template.serve()
    if request is None:
        template.leave()
    else:
        template.become(request)  # this is a child now


@final
class Template:
    """See the module.

    Args:
        control: Its end of the pool's socket; blocking.
        lifeline: What it has armed; children have their own.
    """

    def __init__(self, control: socket.socket, lifeline: int) -> None:
        self._control = control
        self._lifeline = lifeline
        self._program: Program | None = None
        self._problem = ""  # why there can be no children
        self._children: dict[int, _Child] = {}  # by the number of their request
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def load(self, program: str, preload: Sequence[str]) -> None:
        """Import what children will need; where that fails, requests are answered with it."""
        what = f"the program {program!r}"
        try:
            self._program = load_program(program)
            for name in preload:
                what = f"the module {name!r} of preload="
                importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - told to the pool
            text = last_error()
            self._problem = f"{what} cannot be imported in the template process:\n{text}"
        else:
            self._problem = _threads_problem()
        settle_signals()  # whatever a module has done to them
        if preload:
            gc.collect()
        gc.freeze()  # or the first collection in each child would copy every page

    def serve(self) -> Request | None:
        """Answer requests; return None when there will be no more, or, in a child, its own."""
        try:
            self._say(("ready",))
            while True:
                blind = any(child.pidfd < 0 for child in self._children.values())
                ready = {found for found, _ in self._poll.poll(_PAUSE if blind else None)}
                for number, child in list(self._children.items()):
                    if child.pidfd < 0 or child.pidfd in ready:
                        self._bury(number, child)
                if self._control.fileno() not in ready:
                    continue
                request = self._receive()
                if request is None or self._fork(request):
                    return request
        except (BrokenPipeError, ConnectionResetError):
            return None

    def leave(self) -> None:
        """Close what belongs to the template."""
        self._control.close()
        os.close(self._lifeline)
        for child in self._children.values():
            if child.pidfd >= 0:
                os.close(child.pidfd)
        self._children.clear()

    def become(self, request: Request) -> NoReturn:
        """Be the child that *request* asks for."""
        try:
            settle_signals()
            if request.folder is not None:
                os.chdir(request.folder)
            if request.path is not None:
                sys.path[:] = request.path
            _reseed()
            program = self._program
            assert program is not None, "forked without a program"
        except BaseException:  # noqa: BLE001 - told to the pool
            self._control.send(failure(request.number, permanent=False, kind="unfit"))
            os._exit(FAILED_STATUS)
        self.leave()
        run_program(program, request.fds)

    def _receive(self) -> Request | None:
        space = socket.CMSG_SPACE(_MOST * 4)
        data, ancillary, _, _ = self._control.recvmsg(_PACKET, space, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return None
        arrived = array.array("i")
        for _, _, content in ancillary:
            arrived.frombytes(content[: len(content) - len(content) % arrived.itemsize])
        number, folder, path, present = marshal.loads(data)
        if len(arrived) < sum(present):  # the system drops those that it has no room for
            _close_all(arrived)
            return Request(number, folder, path, ())
        coming = iter(arrived)
        return Request(number, folder, path, [next(coming) if has else -1 for has in present])

    def _fork(self, request: Request) -> bool:
        """Fork; True in the child."""
        number = request.number
        problem, permanent = self._problem, True
        if not problem and not request.fds:
            problem, permanent = "no descriptors are left in the template process", False
        pid = -1
        if not problem:
            _flush()
            try:
                pid = _quiet_fork()
            except OSError as error:
                problem, permanent = f"the template process cannot fork: {error}", False
            if pid == 0:
                return True
        _close_all(request.fds)
        if problem:
            self._say(("failed", number, problem, permanent))
            return False
        child = self._children[number] = _Child(pid, _open_pidfd(pid))
        if child.pidfd >= 0:
            self._poll.register(child.pidfd, select.POLLIN)
        self._say(("started", number, pid), child.pidfd)
        return False

    def _bury(self, number: int, child: _Child) -> None:
        status, peak = None, None
        try:
            pid, code, usage = os.wait4(child.pid, os.WNOHANG)
            if pid == 0:
                return
            status, peak = os.waitstatus_to_exitcode(code), usage.ru_maxrss
        except ChildProcessError:  # a preloaded module waits for all children there are
            pass
        del self._children[number]
        if child.pidfd >= 0:
            self._poll.unregister(child.pidfd)
            os.close(child.pidfd)
        self._say(("ended", number, status, peak))

    def _say(self, message: tuple[str | int | None, ...], pidfd: int = -1) -> None:
        rights = []
        if pidfd >= 0:
            rights.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (pidfd,))))
        self._control.sendmsg([marshal.dumps(message, _MARSHAL)], rights)


class _Child(NamedTuple):
    pid: int
    pidfd: int  # -1: the system has none to give


def _threads_problem() -> str:
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() <= 1:
        return ""
    names = sorted(thread.name for thread in threading.enumerate()[1:])
    return (
        f"a module of preload= starts threads when it is imported ({', '.join(names)}), and a "
        "process with threads must not fork: take it out of preload=, or use start_method='spawn'"
    )


def _quiet_fork() -> int:
    # Threads of Python were refused; of others (those of an array library) Python warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _open_pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old system, or too many open files: EOF on its channel tells the end
        return -1


def _reseed() -> None:
    """Give the child random numbers of its own; `random` does that for itself."""
    module: Any = sys.modules.get("numpy.random")  # Any: it may not be installed
    if module is not None:
        module.seed()


def _flush() -> None:
    """Write what a module has printed, or each child would."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
