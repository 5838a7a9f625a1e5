"""Trio as a host: one task of trio's that makes the calls.

It is a system task, which ends with the run, or a task of a nursery, which the guest then keeps
open. What a call raises goes up from there: in a nursery as from any task; from a system task trio
makes it a ``TrioInternalError``.
Threads: ``call_soon_threadsafe`` from any; all else in trio's own.
Source: interop-spec.md, section 3.2; ADR-012.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.interop.hosts import Cancellable

__all__ = ("TrioHost",)


@final
class TrioHost:
    """A host by the run of trio that this is made in.

    Args:
        nursery: Where the task runs; None: as a system task.
    """

    def __init__(self, nursery: trio.Nursery | None = None) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._nursery = nursery
        self._calls: deque[Callable[[], object]] = deque()  # appended to by any thread
        self._timers: set[_Timer] = set()
        self._bell = trio.Event()
        self._scope = trio.CancelScope()
        self._readers: dict[int, trio.CancelScope] = {}
        self._inner: trio.Nursery | None = None
        self._end: Callable[[], object] = int  # what to call at the end: nothing
        self._over = False
        if nursery is None:
            trio.lowlevel.spawn_system_task(self._run, name="guest of trio")
        else:
            nursery.start_soon(self._run, name="guest of trio")

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """See `Host.call_soon_threadsafe`."""
        if self._over:
            raise RuntimeError("the trio host is over")
        self._calls.append(callback)
        self._token.run_sync_soon(self._ring, idempotent=True)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """See `Host.call_later`."""
        if self._over:
            raise RuntimeError("the trio host is over")
        timer = _Timer(self._timers, trio.current_time() + seconds, callback)
        self._timers.add(timer)
        self._ring()
        return timer

    def add_reader(self, descriptor: int, callback: Callable[[], object]) -> None:
        """See `WatchingHost.add_reader`."""
        if self._inner is not None:
            self._readers[descriptor] = scope = trio.CancelScope()
            self._inner.start_soon(_read, scope, descriptor, callback)

    def remove_reader(self, descriptor: int) -> None:
        """See `WatchingHost.remove_reader`."""
        scope = self._readers.pop(descriptor, None)
        if scope is not None:
            scope.cancel()

    def attached(self, end: Callable[[], object]) -> None:
        """See `NotifyingHost.attached`."""
        self._end = end

    def detached(self) -> None:
        """See `NotifyingHost.detached`."""
        if not self._over:
            self._over = True
            self._end = int
            self._scope.cancel()

    def _ring(self) -> None:
        self._bell.set()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as self._inner:
                    while True:
                        await self._turn()
        finally:
            self._over = True
            self._inner = None
            self._end()

    async def _turn(self) -> None:
        self._bell = trio.Event()  # before the calls: one that comes meanwhile rings it
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        now = trio.current_time()
        for timer in [timer for timer in self._timers if timer.deadline <= now]:
            timer.fire()
        with trio.move_on_at(min((timer.deadline for timer in self._timers), default=math.inf)):
            await self._bell.wait()


class _Timer:
    """One call later."""

    def __init__(
        self, timers: set[_Timer], deadline: float, callback: Callable[[], object]
    ) -> None:
        self.deadline = deadline
        self._timers = timers
        self._callback = callback

    def fire(self) -> None:
        if self in self._timers:  # another one that fired may have cancelled it
            self._timers.remove(self)
            self._callback()

    def cancel(self) -> None:
        self._timers.discard(self)


async def _read(scope: trio.CancelScope, descriptor: int, callback: Callable[[], object]) -> None:
    with scope:
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            callback()
