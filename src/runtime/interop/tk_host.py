"""Tk as a host. `tkinter` is not imported: whoever has a widget has done that.

Threads: ``call_soon_threadsafe`` from any; all else in Tk's own.
Source: interop-spec.md, section 3.2; ADR-012.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from runtime.interop.hosts import whole_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.interop.hosts import Cancellable

__all__ = ("TkHost",)

_TK_READABLE: Final = 2  # tkinter.READABLE


@final
class TkHost:
    """A host by a widget of tkinter, of the loop that ``mainloop()`` runs.

    Tk has no call from other threads that does not wait for its loop, so the bell is a pair
    of sockets that Tk watches; where it cannot watch any (Windows), ``after`` has to do, and a
    thread that rings waits until Tk's loop has taken the call.

    Args:
        widget: Any widget; the guest ends when it is destroyed.
    """

    def __init__(self, widget: Any) -> None:  # noqa: ANN401 - tkinter.Misc, which is not imported
        self._widget = widget
        self._calls: deque[Callable[[], object]] = deque()
        self._bell: Any = None  # Any: a pair of sockets
        tk = getattr(widget, "tk", None)
        self._watch = getattr(tk, "createfilehandler", None)
        self._unwatch = getattr(tk, "deletefilehandler", None)
        if self._watch is not None:
            import socket  # noqa: PLC0415 - only Tk needs it here

            self._bell = socket.socketpair()
            for end in self._bell:
                end.setblocking(False)
            self._watch(self._bell[0].fileno(), _TK_READABLE, self._rung)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """See `Host.call_soon_threadsafe`."""
        bell = self._bell
        if bell is None:
            self._after(0, callback)
            return
        self._calls.append(callback)
        try:
            bell[1].send(b"\0")
        except BlockingIOError:  # full: it rings already
            return
        except OSError as error:
            raise RuntimeError("the Tk host is over") from error

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """See `Host.call_later`."""
        name = self._after(whole_milliseconds(seconds), callback)
        return _Undo(lambda: self._widget.after_cancel(name))

    def add_reader(self, descriptor: int, callback: Callable[[], object]) -> None:
        """See `WatchingHost.add_reader`."""
        if self._watch is None:
            raise NotImplementedError("Tk cannot watch descriptors on this system")
        self._watch(descriptor, _TK_READABLE, lambda *_: callback())

    def remove_reader(self, descriptor: int) -> None:
        """See `WatchingHost.remove_reader`."""
        if self._unwatch is not None:
            self._unwatch(descriptor)

    def attached(self, end: Callable[[], object]) -> None:
        """See `NotifyingHost.attached`."""

        def destroyed(event: Any) -> None:  # noqa: ANN401 - tkinter.Event
            if event.widget is self._widget:
                end()

        try:
            self._widget.bind("<Destroy>", destroyed, "+")
        except Exception as error:
            if not _is_tcl_error(error):  # an interpreter without windows binds nothing
                raise

    def detached(self) -> None:
        """See `NotifyingHost.detached`."""
        bell, self._bell = self._bell, None
        self._calls.clear()
        if bell is not None:
            self.remove_reader(bell[0].fileno())
            for end in bell:
                end.close()

    def _after(self, milliseconds: int, callback: Callable[[], object]) -> Any:  # noqa: ANN401 - Tk's name for it
        try:
            return self._widget.after(milliseconds, callback)
        except Exception as error:
            if _is_tcl_error(error):
                raise RuntimeError("the Tk host is over: its widget is destroyed") from error
            raise

    def _rung(self, *_: object) -> None:
        try:
            while self._bell is not None and self._bell[0].recv(4096):
                pass
        except BlockingIOError:
            pass
        for _turn in range(len(self._calls)):
            if self._calls:
                self._calls.popleft()()


class _Undo:
    """A cancellation by a function."""

    __slots__ = ("cancel",)

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.cancel = cancel


def _is_tcl_error(error: Exception) -> bool:
    tkinter = sys.modules.get("tkinter")
    return tkinter is not None and isinstance(error, tkinter.TclError)
