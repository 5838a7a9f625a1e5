"""What waits to be written to one child, and whoever writes it.

Any thread appends frames (under the pool's lock, which gives them their order) and then calls
`flush`, without the lock. One of them writes; the others go on, for the one that writes looks again
after it has given up its place: a frame that came before that look is seen by it, one
that comes after finds the place free. Nothing here ever blocks: what the socket does not
take now is written when the collector finds it writable.
An exception in the middle of `flush` (Ctrl-C) loses nothing and sends nothing twice: how much was
written is noted by the same call into C that writes it.
Source: process-wire-spec.md, section 3; ADR-009.
"""

from __future__ import annotations

import threading
from collections import deque
from errno import EBADF
from itertools import repeat, starmap
from typing import TYPE_CHECKING, Final, TypeAlias

from runtime.backends.process.wire import NO_SIGNAL, rights, without_descriptors
from runtime.locking import trying

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ("Outbox",)

# The bytes of a frame, the descriptors that go with it, and what keeps those open.
Part: TypeAlias = tuple[bytes, tuple[int, ...], object]

_JOINED: Final = 1 << 17  # frames are written together up to about so many bytes


class Outbox:
    """The way to one child. Thread-safe.

    Args:
        sock: A stream socket; not blocking in the pool, blocking in a child.
        when_full: Called when the socket takes no more: then `resume` is due once it is writable.
    """

    __slots__ = ("_bringer", "_gate", "_parts", "_rest", "_sock", "_tries", "_when_full",
                 "_written",
                 "is_blocked", "is_closed", "put")  # fmt: skip

    def __init__(self, sock: socket.socket, when_full: Callable[[], object]) -> None:
        self._sock = sock
        self._when_full = when_full
        self._parts: deque[Part] = deque()
        self.put = self._parts.append
        self._gate = threading.Lock()  # whoever has it writes; guards what follows
        self._tries = trying(self._gate)
        self._rest = memoryview(b"")  # what is being written
        # The frame whose descriptors go with the first byte of that; keeps them open until then.
        self._bringer: Part | None = None
        self._written: list[int] = []  # what was written of _rest, call by call
        self.is_blocked = False  # the socket is full; set and unset with the gate
        self.is_closed = False

    def flush(self) -> None:
        """Write what waits, as far as the socket takes it. A child that is gone takes nothing."""
        while self._parts or self._rest:
            if self.is_blocked or self.is_closed:
                return
            taken = False
            for taken in self._tries:  # noqa: B007 - see `runtime.locking.trying`
                break
            if not taken:
                return
            try:
                has_room = self._try_to_write()
            finally:
                self._gate.release()
            if not has_room:
                self._when_full()

    def _try_to_write(self) -> bool:
        """Needs the gate. False where the socket is full."""
        try:
            if not self.is_closed:
                self._write()
        except BlockingIOError:
            self.is_blocked = True
            return False
        except OSError as error:
            self._give_up(error)
        return True

    def _give_up(self, error: OSError) -> None:
        """Needs the gate. Most likely it is gone, and what reads from it will notice."""
        if error.errno == EBADF and self._bringer is not None:
            # Closed by now, so the job was taken back. Its frame goes all the same, without them:
            # the child looks at its number, and learns the function that comes with it.
            self._bringer, self._rest = None, memoryview(without_descriptors(self._rest))
        else:
            self.is_closed = True

    def resume(self) -> None:
        """The socket may be writable again."""
        self.is_blocked = False
        self.flush()

    def finish(self) -> None:
        """Wait until all is written. For a socket that blocks, and not in a signal handler."""
        while (self._parts or self._rest) and not self.is_closed:
            with self._gate:  # whoever is at it is done with it
                pass
            self.flush()

    def close(self) -> None:
        """Write no more; nobody is at it when this returns. The socket is the caller's.

        To be called without the pool's lock: who writes may be stopped by a signal handler
        that wants it.
        """
        self.is_closed = True
        with self._gate:
            return

    def abandon(self) -> None:
        """As `close`, in a forked child: whoever was writing is not here."""
        self.is_closed = True

    def _write(self) -> None:
        """Write until nothing is left, or the socket is full. Needs the gate."""
        while True:
            self._settle()
            if not self._rest and not self._next():
                return
            # Into C once: no signal handler runs between the write and the note of it.
            if self._bringer is not None:
                self._written.extend(
                    map(
                        self._sock.sendmsg,
                        ((self._rest,),),
                        (rights(self._bringer[1]),),
                        (NO_SIGNAL,),
                    )
                )
            else:
                self._written.extend(map(self._sock.send, (self._rest,), (NO_SIGNAL,)))

    def _settle(self) -> None:
        """Take account of what was written. An interrupt in here changes nothing for the next."""
        if self._written:
            rest = self._rest[self._written[0] :]
            self._bringer, self._rest, self._written = None, rest, []

    def _next(self) -> bool:
        """Take the next frames; those that bring descriptors go alone."""
        parts = self._parts
        if not parts:
            return False
        part = parts[0]
        if part[1] or len(parts) == 1:  # the usual case
            rest = memoryview(part[0])
            self._bringer, self._rest = part if part[1] else None, rest
            parts.popleft()
            return True
        batch, size = [part[0]], len(part[0])
        for index in range(1, len(parts)):  # others only append meanwhile
            part = parts[index]
            if part[1] or size > _JOINED:
                break
            batch.append(part[0])
            size += len(part[0])
        rest = memoryview(b"".join(batch))
        drop = starmap(parts.popleft, repeat((), len(batch)))
        # Nothing is called between the next line and the dropping, which is one call into C.
        self._bringer, self._rest = None, rest
        deque(drop, maxlen=0)
        return True
