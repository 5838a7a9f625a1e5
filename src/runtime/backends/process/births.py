"""Making a child: its descriptors on both sides, its plan, and who listens to it.

Threads: the collector's. Source: process-wire-spec.md, section 7; ADR-009.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from typing import TYPE_CHECKING, Final

from runtime.backends.process.child import Child
from runtime.backends.process.collector import READ, WRITE
from runtime.backends.process.output import OutputReader
from runtime.backends.process.page import new_page_file
from runtime.backends.process.planning import Plans
from runtime.backends.process.relay import Relay
from runtime.backends.process.starting import ChildFds
from runtime.backends.process.wire import FrameType, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.hub import Hub
    from runtime.backends.process.starting import ChildSource

__all__ = ("Births",)

_WORDS: Final = 32 << 20  # bytes of errors and log records, which are not the user's to limit
_NO_PIPES = ((-1, -1), (-1, -1))


class Births:
    """See the module.

    Args:
        hub: What it works on.
        source: What starts processes.

    Raises:
        UnpicklableError: the initializer or the finalizer cannot travel.
    """

    def __init__(self, hub: Hub, source: ChildSource) -> None:
        self._hub = hub
        self._source = source
        self._plans = Plans(hub.settings)

    def start(self, number: int, read: Callable[[Child], object]) -> Child:
        """Ask for a child, and listen to it: *read* is called where there is something.

        Raises:
            OSError: no descriptor is to be had; nothing is left behind.
            WorkerStartError: no process is to be had; as above.
        """
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as after:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.callback(ours.close)
            after.callback(theirs.close)
            ours.setblocking(False)
            page = new_page_file()
            undo.callback(os.close, page)
            lifeline, write = os.pipe()
            undo.callback(os.close, write)
            after.callback(os.close, lifeline)
            child = self._make(number, ours, page, write)
            undo.pop_all()  # they are the child's from here on
            undo.callback(child.close)
            pipes = self._pipes(undo, after)
            child.outbox.put((frame(FrameType.PLAN, 0, self._plans.make()), (), None))
            self._source.start(
                number, ChildFds(theirs.fileno(), page, lifeline, pipes[0][1], pipes[1][1])
            )
            undo.pop_all()
        self._listen(child, pipes, read)
        return child

    def _pipes(
        self, undo: contextlib.ExitStack, after: contextlib.ExitStack
    ) -> tuple[tuple[int, int], ...]:
        """Return the pipes for what the child prints, -1 where that is not captured."""
        if not self._hub.settings.capture_output:
            return _NO_PIPES
        pipes = []
        for _ in range(2):
            read, write = os.pipe()
            undo.callback(os.close, read)
            after.callback(os.close, write)
            pipes.append((read, write))
        return tuple(pipes)

    def _make(self, number: int, sock: socket.socket, page: int, lifeline: int) -> Child:
        hub, fd = self._hub, sock.fileno()
        collector, fleet = hub.collector, hub.fleet
        resume = functools.partial(collector.change, fd, READ | WRITE)
        return Child(
            number,
            sock,
            page,
            lifeline,
            limit=hub.settings.max_message_bytes + _WORDS,
            when_full=functools.partial(collector.ask, resume),
            put_back=fleet.put_back,
            begun=fleet.begun.append,
            relay=Relay(f"{hub.settings.name}-{number}"),
            now=hub.clock.now(),
        )

    def _listen(
        self,
        child: Child,
        pipes: tuple[tuple[int, int], ...],
        read: Callable[[Child], object],
    ) -> None:
        collector = self._hub.collector
        fd = child.sock.fileno()

        def on_socket(events: int) -> None:
            if events & WRITE:
                collector.change(fd, READ)
                child.outbox.resume()
            if events & READ:
                read(child)

        collector.listen(fd, on_socket)
        for (end, _), stream in zip(pipes, ("stdout", "stderr"), strict=True):
            if end >= 0:
                reader = OutputReader(
                    end,
                    functools.partial(child.tell_output, stream),
                    max_bytes=self._hub.settings.max_output_bytes,
                )
                child.outputs.append(reader)
                collector.listen(end, functools.partial(self._on_output, reader))

    def _on_output(self, reader: OutputReader, _: int) -> None:
        reader.drain()
        if reader.is_ended:
            self._hub.collector.forget(reader.fileno())
