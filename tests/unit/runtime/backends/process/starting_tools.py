"""What tests of sources share: a child's other ends, and waiting for events with a limit."""

from __future__ import annotations

import ast
import os
import select
import socket
from typing import TYPE_CHECKING, Any, Final, Self

from runtime.backends.process.starting import ChildFds, Ended, Failed, SourceEvent, Started

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.starting import ChildSource

__all__ = ("ANSWER", "GUARD", "PROGRAMS", "Child", "Starter", "wait_readable")

GUARD: Final = 20.0  # seconds; only a hang takes so long
PROGRAMS: Final = "tests.unit.runtime.backends.process.starting_programs"
ANSWER: Final = f"{PROGRAMS}:answer"


def wait_readable(descriptor: int) -> None:
    """Wait until *descriptor* has something to read."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(GUARD * 1000):
        raise TimeoutError(f"nothing came within {GUARD} s")


class Child:
    """The parent's ends of one child."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sock, self.theirs = socket.socketpair()
        self.sock.settimeout(GUARD)
        self.page = os.memfd_create("page")
        self.read, self.lifeline = os.pipe()

    def fds(self) -> ChildFds:
        """Return what the child gets."""
        return ChildFds(self.theirs.fileno(), self.page, self.read)

    def given(self) -> None:
        """Close what the child has got."""
        self.theirs.close()
        os.close(self.page)
        os.close(self.read)

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - Any: whatever the expression gives
        """Return what *expression* is in the child."""
        self.sock.sendall(expression.encode())
        return ast.literal_eval(self.hear())

    def hear(self) -> str:
        """Return the next line that the child writes."""
        line = b""
        while not line.endswith(b"\n"):
            more = self.sock.recv(1 << 16)
            if not more:
                raise EOFError(f"the child is gone, after {line!r}")
            line += more
        return line.decode()

    def close(self) -> None:
        """Let it go: it ends by itself or by its lifeline."""
        self.sock.close()
        os.close(self.lifeline)


class Starter:
    """A source, its children, and the events that nobody has asked for yet."""

    def __init__(self, source: ChildSource) -> None:
        self.source = source
        self.children: list[Child] = []
        self.seen: list[SourceEvent] = []
        self.pidfds: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for child in self.children:
            child.close()
        self.source.close()
        for descriptor in self.pidfds.values():
            os.close(descriptor)

    def start(self) -> Child:
        """Start a child."""
        child = Child(len(self.children))
        self.children.append(child)
        try:
            self.source.start(child.number, child.fds())
        finally:
            child.given()
        return child

    def event(self, wanted: Callable[[SourceEvent], bool]) -> SourceEvent:
        """Return the first event that is *wanted*, waiting for it."""
        while True:
            for event in self.seen:
                if wanted(event):
                    self.seen.remove(event)
                    return event
            descriptor = self.source.fileno()
            assert descriptor is not None
            wait_readable(descriptor)
            for event in self.source.events():
                self.seen.append(event)
                if isinstance(event, Started):
                    self.pidfds[event.number] = event.pidfd

    def started(self, child: Child) -> Started:
        """Wait until *child* has started."""
        event = self.event(lambda one: isinstance(one, Started) and one.number == child.number)
        assert isinstance(event, Started)
        return event

    def failed(self, child: Child) -> Failed:
        """Wait until *child* has failed."""
        event = self.event(lambda one: isinstance(one, Failed) and one.number == child.number)
        assert isinstance(event, Failed)
        return event

    def ended(self, child: Child) -> Ended:
        """Wait for the end of a child that is about to end; it was started."""
        wait_readable(self.pidfds[child.number])
        for event in self.seen:
            if isinstance(event, Ended) and event.number == child.number:
                self.seen.remove(event)
                return event
        known = self.source.reap(child.number)
        if known is not None:
            return known
        event = self.event(lambda one: isinstance(one, Ended) and one.number == child.number)
        assert isinstance(event, Ended)
        return event
