"""What a host is to a guest: two calls. asyncio, Qt and bare hosts fitted to them.

Tk is in `tk_host`; trio, which has neither call, in `trio_host`.
Nothing is imported that the program has not.
Threads: ``call_soon_threadsafe`` may be called from any; all else on the host's own.
Source: interop-spec.md, section 3.2; ADR-012.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable

__all__ = (
    "AsyncioHost",
    "BareHost",
    "Cancellable",
    "Host",
    "NotifyingHost",
    "QtHost",
    "WatchingHost",
    "whole_milliseconds",
)


class Cancellable(Protocol):
    """What ``call_later`` gives."""

    def cancel(self) -> object:
        """Do not call."""
        ...


@runtime_checkable
class Host(Protocol):
    """A loop that a guest can live in. Both calls raise RuntimeError once the loop is over."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Have the loop call *callback* in its thread. From any thread; must not block."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object], /) -> Cancellable:
        """Have the loop call *callback* after *seconds*, not earlier."""
        ...


@runtime_checkable
class WatchingHost(Host, Protocol):
    """A host that can watch a descriptor; for any other one a lent thread does."""

    def add_reader(self, descriptor: int, callback: Callable[[], object], /) -> object:
        """Call *callback* whenever *descriptor* is readable."""
        ...

    def remove_reader(self, descriptor: int, /) -> object:
        """Do not watch it any more."""
        ...


@runtime_checkable
class NotifyingHost(Host, Protocol):
    """A host that tells when it ends, and that has something to give back."""

    def attached(self, end: Callable[[], object], /) -> object:
        """Call *end* when the loop ends. Called in the first turn, so in the host's thread."""
        ...

    def detached(self) -> object:
        """Give back what the adapter holds: the guest is gone."""
        ...


@final
class BareHost:
    """A host by two functions: "call soon, thread-safe" and "call later".

    Args:
        call_soon_threadsafe: See `Host.call_soon_threadsafe`.
        call_later: See `Host.call_later`; what it gives is cancelled where it can be.
    """

    def __init__(
        self,
        call_soon_threadsafe: Callable[[Callable[[], object]], object],
        call_later: Callable[[float, Callable[[], object]], object],
    ) -> None:
        self.call_soon_threadsafe = call_soon_threadsafe
        self._call_later = call_later

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """See `Host.call_later`."""
        once = _Once(callback)
        once.given = self._call_later(seconds, once)
        return once


@final
class QtHost:
    """A host in the manner of Qt: two calls, and time in whole milliseconds.

    With PySide or PyQt, where ``posted`` is a signal of an object that lives in the loop's
    thread, connected (queued) to a slot that calls what it gets::

        QtHost(QTimer.singleShot, bridge.posted.emit)

    Args:
        single_shot: ``single_shot(milliseconds, callback)``, called in the loop's thread.
        post: ``post(callback)``, called from any thread; the loop's thread calls *callback*.
    """

    def __init__(
        self,
        single_shot: Callable[[int, Callable[[], object]], object],
        post: Callable[[Callable[[], object]], object],
    ) -> None:
        self._single_shot = single_shot
        self.call_soon_threadsafe = post

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """See `Host.call_later`; what is cancelled fires, and does nothing."""
        once = _Once(callback)
        self._single_shot(whole_milliseconds(seconds), once)
        return once


@final
class AsyncioHost:
    """A host by a loop of asyncio, or of uvloop.

    Args:
        loop: The loop, running or not.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.call_soon_threadsafe = loop.call_soon_threadsafe
        self.call_later = loop.call_later
        self.add_reader = loop.add_reader
        self.remove_reader = loop.remove_reader
        self._keeper: Any = None  # Any: an asynchronous generator, and its first step

    def attached(self, end: Callable[[], object]) -> None:
        """See `NotifyingHost.attached`.

        ``asyncio.run`` and its kin close the asynchronous generators that were begun in the loop
        when it ends: so one of ours hears of it, and no task has to wait all the time.
        """

        async def until_the_end() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                end()

        self._keeper = until_the_end()
        try:
            self._keeper.__anext__().send(None)
        except StopIteration:
            return

    def detached(self) -> None:
        """See `NotifyingHost.detached`."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and not keeper.ag_running:
            try:
                keeper.aclose().send(None)
            except StopIteration:
                return


class _Once:
    """A call that can be taken back, whether or not the host can do that."""

    __slots__ = ("_callback", "given")

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback
        self.given: object = None  # what the host gave for it

    def __call__(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        self._callback = None
        cancel = getattr(self.given, "cancel", None)
        if cancel is not None:
            cancel()


def whole_milliseconds(seconds: float) -> int:
    """Round up: a timer that fires early makes the guest turn twice."""
    return min(math.ceil(max(seconds, 0.0) * 1000), 2**31 - 1)
