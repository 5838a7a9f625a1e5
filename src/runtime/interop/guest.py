"""Our executor as a guest: a host's loop drives it, and sleeps for it.

Built on the embedding contract and nothing else: ``on_wake`` asks the host for a turn, a turn
is one ``run_until_stalled`` with a budget, ``next_deadline`` is the host's timer. An idle guest has
one timer of the host's at most, and is not called.
Threads: the host's, for everything but `Guest.spawn` and the bell.
Source: interop-spec.md, section 3; ADR-012, ADR-008.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, final

from runtime.async_runtime import Executor
from runtime.clock import SYSTEM_CLOCK, Clock, SteppedClock
from runtime.interop.hosts import (
    AsyncioHost,
    Host,
    NotifyingHost,
    WatchingHost,
)
from runtime.interop.lookout import Lookout
from runtime.interop.tk_host import TkHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runtime.async_runtime import UnhandledError
    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.future import FutureLike
    from runtime.interop.hosts import Cancellable

__all__ = ("Guest", "attach")

T = TypeVar("T")


@final
class Guest:
    """An executor in a host's loop; see `attach`. A context manager: the block's end closes it.

    Attributes:
        executor: What runs; ``block=False``, for its thread is the host's.
    """

    def __init__(
        self,
        host: Host,
        *,
        clock: Clock,
        order: Literal["fifo"] | int,
        on_unhandled: Callable[[UnhandledError], object] | None,
        max_polls: int | None,
        max_time: float | None,
    ) -> None:
        self._host = host
        self._max_polls = max_polls
        self._max_time = max_time
        self._closed = False
        self._begun = False  # the host has called once
        self._turning = False
        self._ending = False  # the host ended in a turn
        self._timer: Cancellable | None = None
        self._deadline: float | None = None  # what _timer is for
        self._descriptor: int | None = None  # that the host watches
        self._lookout: Lookout | None = None
        self.executor = Executor(
            clock=clock, order=order, block=False, on_wake=self._ring, on_unhandled=on_unhandled
        )

    def spawn(self, future: FutureLike[T]) -> DrivenTask[T]:
        """Drive *future* as a task; see `Executor.spawn`. Thread-safe."""
        task = self.executor.spawn(future)
        task._spawned_at(sys._getframe(1))
        return task

    def close(self) -> None:
        """End every task that is left, and leave the host. May be called twice.

        Called in the host's thread, or when its loop is over; `Executor.close` says what becomes
        of the tasks. Also called by a host that tells of its own end.

        Raises:
            InvalidStateError: called by a task of the guest.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._let_go()
            self.executor.close()
        except BaseException:
            self._closed = False
            raise
        if isinstance(self._host, NotifyingHost):
            self._host.detached()

    def _let_go(self) -> None:
        """Take back what the host was asked for."""
        self._set_timer(None)
        lookout, self._lookout = self._lookout, None
        if lookout is not None:
            lookout.close()
        self._stop_watching()

    def _ring(self) -> None:
        """Ask for a turn. Any thread."""
        try:
            self._host.call_soon_threadsafe(self._turn)
        except RuntimeError:  # the host is over: nobody will ever turn
            return

    def _turn(self) -> None:
        if self._closed or self._turning:  # inside of a turn: the host runs its loop in a task
            return
        self._turning = True
        again = True  # also where an interrupt leaves it
        try:
            if not self._begun:
                self._begun = True
                if isinstance(self._host, NotifyingHost):
                    self._host.attached(self._host_ends)
            why = self.executor.run_until_stalled(self._max_polls, self._max_time)
            again = why != "stalled"
        finally:
            self._turning = False
            if self._ending:
                self.close()
            elif not self._closed:
                self._rest(again=again)

    def _host_ends(self) -> None:
        if self._turning:  # by a task of the guest: after this turn
            self._ending = True
        else:
            self.close()

    def _rest(self, *, again: bool) -> None:
        """Say when the next turn has to be."""
        deadline = None if again else self.executor.next_deadline()
        clock = self.executor.clock
        if deadline is not None and isinstance(clock, SteppedClock):
            again = clock.idle(deadline)
            deadline = None  # whoever moves the clock rings
        try:
            self._set_timer(deadline)
            self._watch()
        except RuntimeError:  # as in _ring
            return
        if again:
            self._ring()

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if deadline == self._deadline:
                return
            self._timer.cancel()
            self._timer = None
        self._deadline = deadline
        if deadline is not None:
            seconds = max(deadline - self.executor.clock.now(), 0.0)
            self._timer = self._host.call_later(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._turn()

    def _watch(self) -> None:
        """Have descriptors watched while tasks wait for any."""
        if not self.executor.watches_descriptors:
            self._stop_watching()
        elif self._lookout is not None:
            self._lookout.look()
        elif self._descriptor is None:
            self._start_watching(self.executor.fileno())

    def _start_watching(self, descriptor: int) -> None:
        host = self._host
        if isinstance(host, WatchingHost):
            try:
                host.add_reader(descriptor, self._turn)
            except NotImplementedError:  # asyncio's loop for Windows; Tk there
                pass
            else:
                self._descriptor = descriptor
                return
        this = weakref.ref(self)  # the thread must not keep a guest that nobody holds
        self._lookout = Lookout(descriptor, lambda: _ring(this))
        self._lookout.look()

    def _stop_watching(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and isinstance(self._host, WatchingHost):
            self._host.remove_reader(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Guest of {type(self._host).__name__}: {self.executor!r}>"


def _ring(guest: weakref.ref[Guest]) -> None:
    this = guest()
    if this is not None:
        this._ring()


def attach(
    host: Any = None,  # noqa: ANN401 - anything that `find_host` knows
    *,
    clock: Clock = SYSTEM_CLOCK,
    order: Literal["fifo"] | int = "fifo",
    on_unhandled: Callable[[UnhandledError], object] | None = None,
    max_polls: int | None = 1000,
    max_time: float | None = 0.01,
) -> Guest:
    """Make an executor that *host* drives.

    Args:
        host: A loop of asyncio (or uvloop), a nursery of trio, a widget of tkinter, or an object
            with the two calls of `Host`, such as `BareHost` and `QtHost`. None: the loop of
            asyncio or trio that runs on this thread.
        clock: As for `Executor`.
        order: As for `Executor`.
        on_unhandled: As for `Executor`.
        max_polls: How many polls one turn may take before the host has its turn.
        max_time: How many seconds, on *clock*.

    Raises:
        TypeError: *host* is no host.
        RuntimeError: *host* is None, and no loop runs here.
    """
    return Guest(
        _find_host(host),
        clock=clock,
        order=order,
        on_unhandled=on_unhandled,
        max_polls=max_polls,
        max_time=max_time,
    )


def _find_host(host: Any) -> Host:  # noqa: ANN401 - as attach
    if host is None:
        return _running_host()
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and isinstance(host, asyncio.AbstractEventLoop):
        return AsyncioHost(host)
    if trio is not None and isinstance(host, trio.Nursery):
        return _trio_host(host)
    if hasattr(host, "after") and hasattr(host, "after_cancel"):
        return TkHost(host)
    if isinstance(host, Host):
        return host
    raise TypeError(
        f"{host!r} is no host: give a loop of asyncio, a nursery of trio, a widget of tkinter, "
        "or an object with call_soon_threadsafe(callback) and call_later(seconds, callback)"
    )


def _running_host() -> Host:
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None:
        try:
            return AsyncioHost(asyncio.get_running_loop())
        except RuntimeError:
            pass
    if trio is not None:
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            pass
        else:
            return _trio_host(None)
    raise RuntimeError("no loop of asyncio or trio runs on this thread: give attach() a host")


def _trio_host(nursery: Any) -> Host:  # noqa: ANN401 - trio.Nursery, or None
    from runtime.interop.trio_host import TrioHost  # noqa: PLC0415 - imports trio

    return TrioHost(nursery)
