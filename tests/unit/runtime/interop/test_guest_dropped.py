"""A guest that nobody holds any more, while a lent thread watches a descriptor for it."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import socket
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import wait_readable
from runtime.interop.guest import Guest, attach
from runtime.interop.hosts import BareHost
from runtime.interop.lookout import Lookout
from tests.unit.runtime.faults.process_jobs import until
from tests.unit.runtime.interop.host_loops import GUARD, PlainLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair()
    with ends[0], ends[1]:
        yield ends


def lookouts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vela-lookout"]


def watching_guest(end: socket.socket, cleaned: list[str]) -> Guest:
    """Return a guest that waits for *end* in a host that is over."""
    loop = PlainLoop()

    async def wait() -> None:
        try:
            await wait_readable(end)
        finally:
            cleaned.append("cleaned")

    guest = attach(BareHost(loop.call_soon, loop.call_later))
    guest.spawn(wait())
    loop.run_until(lambda: bool(lookouts()))
    loop.close()
    return guest


def test_a_guest_that_nobody_holds_ends_with_its_thread(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """The host cannot tell that it is over: the garbage collector does."""
    cleaned: list[str] = []
    guest = watching_guest(pair[0], cleaned)
    seen = weakref.ref(guest)
    [thread] = lookouts()

    del guest
    gc.collect()
    thread.join(GUARD)

    assert seen() is None
    assert not thread.is_alive()
    assert cleaned == ["cleaned"]
    assert "closed with 1 task(s) pending" in caplog.text


def test_a_guest_that_is_held_keeps_its_thread(pair: Pair) -> None:
    """By its executor too; what becomes readable finds a host that is over, and does no harm."""
    cleaned: list[str] = []
    guest = watching_guest(pair[0], cleaned)
    seen = weakref.ref(guest)
    executor = guest.executor
    [thread] = lookouts()

    del guest
    gc.collect()
    pair[1].send(b"x")

    assert thread.is_alive()
    held = seen()
    assert held is not None
    held.close()
    assert not thread.is_alive()
    assert cleaned == ["cleaned"]
    assert executor.active_tasks() == 0


def test_a_lookout_that_is_dropped_between_looks_ends_its_thread(pair: Pair) -> None:
    """It sleeps on its lock there, and in the selector otherwise."""
    rung = threading.Semaphore(0)
    pair[1].send(b"x")
    lookout = Lookout(pair[0].fileno(), rung.release)
    thread = lookout._thread
    lookout.look()
    assert rung.acquire(timeout=GUARD)

    del lookout
    thread.join(GUARD)

    assert not thread.is_alive()
    assert not rung.acquire(blocking=False)


def test_a_lookout_may_be_dropped_in_its_own_thread(pair: Pair) -> None:
    """As by a collection that happens to run there: nobody waits for himself."""
    kept: list[Lookout] = []
    pair[1].send(b"x")
    lookout = Lookout(pair[0].fileno(), kept.clear)
    thread = lookout._thread
    kept.append(lookout)
    del lookout

    kept[0].look()
    # Without a GIL its finalizer is left to the thread that made it, when that runs again.
    until(lambda: not thread.is_alive())

    assert not kept


def test_a_thread_that_cannot_be_started_leaves_nothing_behind(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest asks again at its next turn."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(RuntimeError, match="can't start"):
        Lookout(pair[0].fileno(), int)
