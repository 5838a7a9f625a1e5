"""The end of a child: its last words are read, then it is learnt how it ended, then it is buried.

The process itself is watched, not only its socket: another process that it started may hold
that open. A child that closes its socket and lives is of no use, and is killed.
Threads: the collector's. Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.backends.process.burial import Burial
from runtime.backends.process.child_state import ChildState
from runtime.locking import locked

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.child import Child
    from runtime.backends.process.farewells import Farewells
    from runtime.backends.process.hub import Hub
    from runtime.backends.process.starting import ChildSource, Ended

__all__ = ("Deaths",)

_STATUS: Final = 1.0  # seconds that the news of how a child ended may take
_CLOSED: Final = "it closed its channel to the pool, and lived"
_EXITING: Final = 0x4  # PF_EXITING, of the flags of a process
_LAST_READS: Final = 64  # of its output: somebody else may still write to that


class Deaths:
    """See the module.

    Args:
        hub: What it works on.
        source: Knows how children ended.
        farewells: Lets go of others when this one has gone.
    """

    def __init__(self, hub: Hub, source: ChildSource, farewells: Farewells) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking
        self.read: Callable[[Child], object] = _nobody  # called where there may be something
        self._source = source
        self._farewells = farewells
        self._burial = Burial(hub)

    def on_death(self, child: Child) -> None:
        """The process has ended."""
        if not self._hear_out(child):
            return
        ended = self._source.reap(child.number)
        if ended is None:
            self._farewells.watch(child, _STATUS, self._bury_unknown)
        else:
            self._bury(child, ended)

    def on_status(self, ended: Ended) -> None:
        """It is known how a child ended, perhaps before that was seen."""
        child = self.hub.fleet.children.get(ended.number)
        if child is not None:
            self._hear_out(child)
            self._bury(child, ended)

    def _hear_out(self, child: Child) -> bool:
        """Read what it has sent; False where that has been done."""
        if child.has_ended:
            return False
        child.has_ended = True
        if child.pidfd >= 0:
            self.hub.collector.forget(child.pidfd)
        self.read(child)
        return True

    def _bury_unknown(self, child: Child) -> None:
        self._bury(child, self._source.reap(child.number))

    def _bury(self, child: Child, ended: Ended | None) -> None:
        if child.number not in self.hub.fleet.children:
            return
        for reader in child.outputs:
            for _ in range(_LAST_READS):
                if not reader.drain():
                    break
            reader.end_job()
        status, peak = (None, None) if ended is None else (ended.status, ended.peak_bytes)
        self._burial.bury(child, status, peak)
        self.close(child)
        self.hub.dispatch()
        self._farewells.look()
        self.hub.fleet.watchers.tell()

    def hang_up(self, child: Child, error: BaseException | None = None) -> None:
        """Nothing more comes from its socket, or nothing that makes sense, as *error* says."""
        if child.why_ended is None:
            if error is not None:  # its frames hold what has come
                child.why_ended = error.with_traceback(None)
            elif _lives(child):
                child.why_ended = _CLOSED
        self.hub.collector.forget(child.sock.fileno())
        child.outbox.close()
        if not child.has_ended and child.state is not ChildState.LEAVING:
            self._farewells.kill(child, on_purpose=False)

    def strike(self, child: Child) -> None:
        """It never came to be: nothing of it is left."""
        self._strike(child)
        self.close(child)

    @locked
    def _strike(self, child: Child) -> None:
        self.hub.fleet.strike(child)

    def close(self, child: Child) -> None:
        """Give back what belongs to it."""
        collector = self.hub.collector
        collector.note_change()
        child.outbox.close()
        for reader in child.outputs:
            collector.forget(reader.fileno())
            reader.close()
        for fd in (child.pidfd, child.sock.fileno()):
            if fd >= 0:
                collector.forget(fd)
        self._close(child)

    @locked
    def _close(self, child: Child) -> None:
        child.close()


def _lives(child: Child) -> bool:
    """Tell whether *child* is known to live; what has begun to end closes its sockets first."""
    if child.has_ended:
        return False
    try:
        with open(f"/proc/{child.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return not int(fields[6]) & _EXITING
    except (OSError, ValueError, LookupError):  # it has gone, or this is another system
        return False


def _nobody(child: Child) -> None:
    """Before there is somebody who reads."""
