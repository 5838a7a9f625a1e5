"""The adapters by themselves: what a host cannot do, and what it does when it is over."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import sleep, wait_readable
from runtime.interop.guest import Guest, attach
from runtime.interop.hosts import BareHost, Host, WatchingHost
from runtime.interop.lookout import Lookout
from runtime.interop.tk_host import TkHost
from tests.unit.runtime.interop.host_loops import PlainLoop

if TYPE_CHECKING:
    from collections.abc import Callable

tkinter = pytest.importorskip("tkinter")


class Widget:
    """As much of a widget as an adapter sees, on a system where Tk cannot watch sockets."""

    def __init__(self) -> None:
        self.loop = PlainLoop()
        self.destroyed = False
        self.bound: list[Callable[[Any], object]] = []
        self._names: dict[str, Any] = {}

    def after(self, milliseconds: int, callback: Callable[[], object]) -> str:
        if self.destroyed:
            raise tkinter.TclError("application has been destroyed")
        name = f"after#{len(self._names)}"
        if milliseconds:
            self._names[name] = self.loop.call_later(milliseconds / 1000, callback)
        else:
            self.loop.call_soon(callback)
        return name

    def after_cancel(self, name: str) -> None:
        self._names.pop(name).cancel()

    def bind(self, event: str, callback: Callable[[Any], object], add: str) -> None:
        assert (event, add) == ("<Destroy>", "+")
        self.bound.append(callback)

    def destroy(self) -> None:
        class Event:
            widget: Any = None

        for each in (object(), self):  # a widget inside of it, then the widget itself
            event = Event()
            event.widget = each
            for callback in self.bound:
                callback(event)
        self.destroyed = True


def test_tk_that_cannot_watch_sockets_is_rung_by_after() -> None:
    """And a lent thread watches descriptors for it."""
    widget = Widget()
    ours, theirs = socket.socketpair()

    async def main() -> bytes:
        await sleep(0.002)
        await wait_readable(ours)
        return ours.recv(1)

    with ours, theirs, attach(widget) as guest:
        widget.loop.call_later(0.02, lambda: theirs.send(b"x"))
        task = guest.spawn(main())
        widget.loop.run_until(task.is_completed)

        assert task.result() == b"x"
        assert guest._lookout is not None


def test_a_widget_that_is_destroyed_closes_its_guest() -> None:
    """What comes later finds nobody."""
    widget = Widget()
    guest = attach(widget)
    task = guest.spawn(sleep(0))
    widget.loop.run_until(task.is_completed)

    widget.destroy()

    with pytest.raises(RuntimeError, match="is closed"):
        _ = guest.spawn(sleep(0))


def test_a_task_that_destroys_the_widget_comes_to_its_end_first() -> None:
    """The guest is closed after the turn, not in it."""
    widget = Widget()
    guest = attach(widget)

    async def main() -> str:
        await sleep(0)
        widget.destroy()
        return "done"

    task = guest.spawn(main())
    widget.loop.run_until(task.is_completed)

    assert task.result() == "done"
    with pytest.raises(RuntimeError, match="is closed"):
        _ = guest.spawn(sleep(0))


def test_calls_after_the_end_of_tk_say_so_and_other_errors_pass() -> None:
    """As a loop of asyncio that is closed does."""
    widget = Widget()
    host = TkHost(widget)
    widget.destroy()

    with pytest.raises(RuntimeError, match="Tk host is over"):
        host.call_soon_threadsafe(int)
    with pytest.raises(RuntimeError, match="Tk host is over"):
        host.call_later(1.0, int)
    with pytest.raises(NotImplementedError):
        host.add_reader(0, int)

    interpreter = tkinter.Tcl()
    real = TkHost(interpreter)
    for _ in range(2000):  # more than its sockets hold: it rings already
        real.call_soon_threadsafe(int)
    bell = real._bell[1]
    real.detached()
    real._bell = (None, bell)
    with pytest.raises(RuntimeError, match="Tk host is over"):
        real.call_soon_threadsafe(int)
    real._bell = None


def test_a_bare_host_that_gives_nothing_to_cancel() -> None:
    """What was cancelled fires, and does nothing."""
    loop = PlainLoop()
    called: list[int] = []

    def call_later(seconds: float, callback: Callable[[], object]) -> None:
        loop.call_later(seconds, callback)

    host = BareHost(loop.call_soon, call_later)
    host.call_later(0.0, lambda: called.append(1)).cancel()
    kept = host.call_later(0.001, lambda: called.append(2))
    loop.run_until(lambda: bool(called))
    kept.cancel()

    assert called == [2]


def test_what_a_host_can_is_told_by_its_methods() -> None:
    """An object of the user's needs no base class."""
    loop = PlainLoop()

    class Own:
        call_soon_threadsafe = staticmethod(loop.call_soon)
        call_later = staticmethod(loop.call_later)

    own = Own()
    assert isinstance(own, Host)
    assert not isinstance(own, WatchingHost)
    with attach(own) as guest:
        assert isinstance(guest, Guest)
        assert "Guest of Own" in repr(guest)
        task = guest.spawn(sleep(0.001))
        loop.run_until(task.is_completed)


def test_a_lookout_rings_once_for_each_look() -> None:
    """And sleeps between, although the descriptor stays readable."""
    loop = PlainLoop()
    rung: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        lookout = Lookout(ours.fileno(), lambda: loop.call_soon(lambda: rung.append(1)))
        for count in (1, 2, 3):
            lookout.look()
            loop.run_until(lambda count=count: len(rung) == count)  # type: ignore[misc]  # the default's type
        lookout.close()

    assert rung == [1, 1, 1]
