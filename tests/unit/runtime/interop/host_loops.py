"""Hosts for tests: each runs a program of a guest to its end; those of ours count their turns."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import importlib
import itertools
import queue
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from runtime.async_runtime import sleep
from runtime.interop.guest import Guest, attach
from runtime.interop.hosts import BareHost, QtHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import TaskHandle

__all__ = ("GUARD", "HARNESSES", "PlainLoop")

GUARD: Final = 10.0  # seconds that only a deadlock reaches


class PlainLoop:
    """A bare loop: a queue, and a heap of timers. Counts how often it woke up."""

    def __init__(self) -> None:
        self.wakes = 0
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, list[Callable[[], object]]]] = []
        self._order = itertools.count()
        self._over = False

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Thread-safe."""
        if self._over:
            raise RuntimeError("the loop is over")
        self._calls.put(callback)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Any:
        """Give something with ``cancel``."""
        if self._over:
            raise RuntimeError("the loop is over")
        entry = [callback]
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), entry))

        class Timer:
            def cancel(self) -> None:
                entry.clear()

        return Timer()

    def single_shot(self, milliseconds: int, callback: Callable[[], object]) -> None:
        """As Qt has it: nothing to cancel."""
        assert isinstance(milliseconds, int)
        self.call_later(milliseconds / 1000, callback)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Sleep, wake up, call, until *done*."""
        end = time.monotonic() + GUARD
        while not done():
            now = time.monotonic()
            assert now < end, "the guest did not come to its end"
            while self._timers and self._timers[0][0] <= now:
                for callback in heapq.heappop(self._timers)[2]:
                    callback()
            if done():
                return
            until = min(self._timers[0][0] if self._timers else end, end)
            try:
                call = self._calls.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                continue
            finally:
                self.wakes += 1
            call()

    def close(self) -> None:
        """No calls any more."""
        self._over = True

    def live_timers(self) -> int:
        """Count what is not cancelled."""
        return sum(bool(entry) for _, _, entry in self._timers)


def run_bare(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under the two calls alone."""
    loop = PlainLoop()
    with attach(BareHost(loop.call_soon, loop.call_later), **options) as guest:
        task = program(guest)
        loop.run_until(task.is_completed)
        return task.result()


def run_qt(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under the calls that Qt has."""
    loop = PlainLoop()
    with attach(QtHost(loop.single_shot, loop.call_soon), **options) as guest:
        task = program(guest)
        loop.run_until(task.is_completed)
        return task.result()


def run_pyside(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:  # as above
    """Run under the real Qt; no window, so no display is needed."""
    core: Any = pytest.importorskip("PySide6.QtCore")  # Any: a package that is rarely there
    application = core.QCoreApplication.instance() or core.QCoreApplication([])

    class Bridge(core.QObject):  # type: ignore[misc]  # Any: as above
        posted = core.Signal(object)

    bridge = Bridge()
    bridge.posted.connect(lambda call: call(), core.Qt.ConnectionType.QueuedConnection)
    with attach(QtHost(core.QTimer.singleShot, bridge.posted.emit), **options) as guest:
        task = program(guest)
        task.add_done_callback(lambda _: application.quit())  # type: ignore[attr-defined]  # as above
        application.exec()
        return task.result()


def run_tk(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under Tcl's own loop; no window, so no display is needed."""
    tkinter = pytest.importorskip("tkinter")
    interpreter = tkinter.Tcl()
    try:
        with attach(interpreter, **options) as guest:
            task = program(guest)
            task.add_done_callback(lambda _: interpreter.quit())  # type: ignore[attr-defined]  # it is a future too
            interpreter.mainloop(-1)
            return task.result()
    finally:
        interpreter.quit()


async def _main(program: Callable[[Guest], TaskHandle[Any]], options: Any) -> Any:
    with attach(**options) as guest:
        return await program(guest)


def run_asyncio(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under asyncio, in debug mode, which complains about calls from a wrong thread."""
    return asyncio.run(_main(program, options), debug=True)


def run_uvloop(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under uvloop."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=True) as runner:
        return runner.run(_main(program, options))


def run_trio(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under trio, as a system task."""
    return pytest.importorskip("trio").run(_main, program, options)


def run_nursery(program: Callable[[Guest], TaskHandle[Any]], **options: Any) -> Any:
    """Run under trio, in a nursery."""
    trio = pytest.importorskip("trio")

    async def main() -> Any:
        async with trio.open_nursery() as nursery:
            with attach(nursery, **options) as guest:
                return await program(guest)

    return trio.run(main)


def _warm_up() -> None:
    """Have these open what they keep for the process, so that no test is charged with it."""
    kept = ((run_tk, "tkinter"), (run_uvloop, "uvloop"), (run_trio, "trio"))
    for run, name in (*kept, (run_pyside, "PySide6.QtCore")):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            run(lambda guest: guest.spawn(sleep(0.001)))


_warm_up()

HARNESSES: Final = {
    "bare": run_bare,
    "qt": run_qt,
    "pyside": run_pyside,
    "tk": run_tk,
    "asyncio": run_asyncio,
    "uvloop": run_uvloop,
    "trio": run_trio,
    "trio-nursery": run_nursery,
}
