"""One template process as its parent has it: the process, its socket, its lifeline.

Threads: one at a time; only `TemplateLink.end` waits.
Invariant: what is not closed by `end` or `forget` is close-on-exec, and no standard stream.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import array
import marshal
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

from runtime.backends.process.interpreter import (
    above_standard,
    end_process,
    module_path,
    open_interpreter,
    plan_of,
)
from runtime.backends.process.wire import NO_SIGNAL
from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("TemplateLink", "close_all", "folder", "how_it_ended")

_MARSHAL: Final = 4
_PACKET: Final = 1 << 18  # more than the system sends in one


@final
class TemplateLink:
    """See the module.

    Args:
        preload: See `TemplateSource`.
        program: See `TemplateSource`.
        executable: See `TemplateSource`.

    Raises:
        WorkerStartError: there is no such interpreter, or the system refused.
    """

    def __init__(self, preload: Sequence[str], program: str, executable: str | None) -> None:
        self.folder = folder()
        self.path = module_path()
        self.ready = False  # it has told that it has loaded what it has to
        self.problem = ""  # why it could not, in its own words
        ours, theirs, self._lifeline, their_lifeline = _open_ends()
        self._socket = socket.socket(fileno=ours)
        self._socket.setblocking(False)
        try:
            plan = plan_of(
                "runtime.backends.process.template",
                theirs,
                lifeline=their_lifeline,
                program=program,
                preload=list(preload),
            )
            self._process = open_interpreter(plan, (theirs, their_lifeline), executable)
        except BaseException:
            self._socket.close()
            os.close(self._lifeline)
            raise
        finally:
            close_all((theirs, their_lifeline))

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """The template's process id."""
        return self._process.pid

    def send(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Send a request; raises what `socket.socket.sendmsg` raises, and never waits."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self._socket.sendmsg([request], [rights], NO_SIGNAL)

    def receive(self) -> tuple[tuple[Any, ...], int] | None:  # Any: each kind has its own fields
        """Return an answer and the descriptor that came with it, or -1; None: it has ended.

        Raises:
            BlockingIOError: there is no answer yet.
        """
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        data = b""
        ancillary: list[tuple[int, int, bytes]] = []
        with suppress(ConnectionResetError):  # told once; what it had sent before comes after it
            data, ancillary, _, _ = self._socket.recvmsg(_PACKET, socket.CMSG_SPACE(4), flags)
            if not data:
                return None
        if not data:
            return self.receive()
        arrived = array.array("i")
        for _, _, content in ancillary:
            arrived.frombytes(content)
        return marshal.loads(data), above_standard(arrived[0]) if arrived else -1

    def kill(self) -> None:
        """End it by force; `receive` tells when that has come about."""
        self._process.kill()

    def end(self, patience: float) -> int | None:
        """Let it go, and after *patience* seconds kill it; return its status, None: unknown."""
        self._socket.close()
        try:
            return end_process(self._process, patience)
        finally:
            os.close(self._lifeline)

    def forget(self) -> None:
        """In a forked copy of this process: close what was inherited."""
        self._socket.close()
        os.close(self._lifeline)
        self._process.returncode = 0  # it is not ours to wait for


def _open_ends() -> tuple[int, int, int, int]:
    """Return both ends of a socket pair, then write and read end of a pipe."""
    opened: list[int] = []
    try:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.extend(end.detach() for end in pair)
        opened.extend(reversed(os.pipe()))
        for place, descriptor in enumerate(opened):
            opened[place] = above_standard(descriptor)
    except OSError as error:
        close_all(opened)
        raise WorkerStartError(f"cannot start a template process: {error}") from error
    ours, theirs, write, read = opened
    return ours, theirs, write, read


def folder() -> str | None:
    """Return the working directory; None: it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def how_it_ended(status: int | None) -> str:
    """Return a status in words."""
    if status is None:
        return "status unknown"
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def close_all(descriptors: Sequence[int]) -> None:
    """Close those that are descriptors, -1 is none."""
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
