"""Where child processes come from: what the pool asks for, and what it is told.

A *source* starts children, tells when they have started, could not, or have ended, and ends what it
needs itself. There are two: `template_source` (forks of a template) and `spawn_source` (a fresh
interpreter each). Both start from a program of ours, never from the user's ``__main__``.

Threads: none; one thread at a time uses a source.
Invariant: descriptors that a source is given stay the caller's; it keeps copies where it has to.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "PROGRAM",
    "ChildFds",
    "ChildSource",
    "Ended",
    "Failed",
    "Lost",
    "SourceEvent",
    "Started",
)

PROGRAM: Final = "runtime.workers.child_process:run"  # what a child calls with its descriptors


class ChildFds(NamedTuple):
    """The descriptors of one child, -1 for one that it does not have."""

    channel: int
    page: int
    lifeline: int
    output: int = -1
    errors: int = -1

    def present(self) -> Iterator[int]:
        """Return those that it has."""
        return (descriptor for descriptor in self if descriptor >= 0)


class Started(NamedTuple):
    """A child has come to its program. Whoever is told owns *pidfd* and closes it."""

    number: int
    pid: int
    pidfd: int  # readable when the child has ended; -1 where the system gives none


class Failed(NamedTuple):
    """A child has not come to run its program; nothing else is told of it after this."""

    number: int
    error: str  # a sentence, or a traceback
    permanent: bool  # another try would end in the same way: a module to preload fails


class Ended(NamedTuple):
    """A child has ended; nothing else is told of it after this."""

    number: int
    status: int | None  # as of `subprocess`: negative for a signal; None: it cannot be known
    peak_bytes: int | None  # the most memory that it ever had; None: it cannot be known


class Lost(NamedTuple):
    """The template has died; children run on, and the next `start` makes another one."""

    reason: str


SourceEvent: TypeAlias = Started | Failed | Ended | Lost


class ChildSource(Protocol):
    """What a pool of processes needs of a source. Not thread-safe."""

    def start(self, number: int, fds: ChildFds) -> None:
        """Start a child; `Started` or `Failed` follows as an event. Does not wait for it.

        Args:
            number: What events call it; never used before.
            fds: What the program is called with. They may be closed after this call.

        Raises:
            WorkerStartError: the system or the interpreter refused, or the source is closed.
        """
        ...

    def fileno(self) -> int | None:
        """Return what becomes readable when there are events.

        None before the first `start` and after `close`; the same one in between.
        """
        ...

    def events(self) -> list[SourceEvent]:
        """Return what has happened since the last call, without waiting."""
        ...

    def reap(self, number: int) -> Ended | None:
        """Return how a child ended that has ended.

        None: not known yet. Where it was a template that started it, the event `Ended` follows;
        a fresh interpreter has not quite ended yet: ask again. Where all that is known is that
        nobody will ever know, that is what `Ended` says.
        """
        ...

    def abandon(self, number: int) -> None:
        """Stop waiting for a child that takes too long to start: `Failed` follows soon.

        The one that hangs is killed. Where that is the template itself, since a module of
        ``preload=`` hangs, all that wait for it fail, and it is `Lost`.
        """
        ...

    def close(self) -> None:
        """End the template, or fresh interpreters that still run. May be called twice.

        Forked children are not touched. It takes milliseconds; a template that does not react
        (one of its modules hangs) is killed.
        """
        ...

    def forget(self) -> None:
        """In a forked copy of this process: close what was inherited, touch no process."""
        ...
