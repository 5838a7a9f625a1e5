"""A guest that idles, that ends first, whose host ends first; and what is no host."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Promise, TaskState, sleep, wait_readable, yield_now
from runtime.errors import ExecutorClosedError
from runtime.interop.guest import Guest, attach
from runtime.interop.hosts import BareHost
from tests.unit.runtime.interop.host_loops import GUARD, HARNESSES, PlainLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import TaskHandle

HOSTS = pytest.mark.parametrize("run", HARNESSES.values(), ids=HARNESSES.keys())


def bare_guest(loop: PlainLoop, **options: Any) -> Guest:  # Any: attach's own
    return attach(BareHost(loop.call_soon, loop.call_later), **options)


# ---- idle ---------------------------------------------------------------------------------


@HOSTS
def test_an_idle_guest_is_not_driven(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One turn to begin, one for the timer: none in between, however long that is."""
    turns: list[Guest] = []
    real = Guest._turn

    def count(self: Guest) -> None:
        turns.append(self)
        real(self)

    monkeypatch.setattr(Guest, "_turn", count)

    run(lambda guest: guest.spawn(sleep(0.1)))

    assert len(turns) <= 4


def test_an_idle_host_is_not_woken_at_all() -> None:
    """Counted by the host itself: only the call that comes from outside wakes it."""
    loop = PlainLoop()
    promise: Promise[None] = Promise()
    with bare_guest(loop) as guest:
        task = guest.spawn(promise.future())
        guest.spawn(sleep(3600))
        threading.Timer(0.1, promise.resolve, (None,)).start()

        loop.run_until(task.is_completed)

        assert loop.wakes == 2
        assert loop.live_timers() == 1


def test_a_timer_of_the_host_is_kept_while_the_deadline_is_the_same() -> None:
    """Turns for other reasons leave it alone."""
    loop = PlainLoop()
    asked: list[float] = []

    def call_later(seconds: float, callback: Callable[[], object]) -> Any:
        asked.append(seconds)
        return loop.call_later(seconds, callback)

    with attach(BareHost(loop.call_soon, call_later)) as guest:
        guest.spawn(sleep(3600))
        for _ in range(5):
            loop.run_until(guest.spawn(yield_now()).is_completed)

    assert len(asked) == 1
    assert loop.live_timers() == 0


# ---- the guest ends first -----------------------------------------------------------------


@HOSTS
def test_closing_ends_the_tasks_and_the_host_runs_on(
    run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The cleaning up has run; what waited with a timer or a descriptor is taken back."""
    ends = socket.socketpair()
    cleaned: list[str] = []
    waiting: list[TaskHandle[None]] = []

    async def wait(name: str, future: Any) -> None:  # Any: a future of any type
        try:
            await future
        finally:
            cleaned.append(name)

    def program(guest: Guest) -> TaskHandle[None]:
        waiting.append(guest.spawn(wait("descriptor", wait_readable(ends[0]))))
        waiting.append(guest.spawn(wait("time", sleep(3600))))
        return guest.spawn(sleep(0.001))

    with ends[0], ends[1]:
        run(program)

    assert cleaned == ["descriptor", "time"]
    assert [task.state for task in waiting] == [TaskState.CANCELLED] * 2
    assert "closed with 2 task(s) pending" in caplog.text


def test_a_closed_guest_is_freed_with_its_last_user() -> None:
    """The host keeps nothing of it."""
    loop = PlainLoop()
    guest = bare_guest(loop)
    loop.run_until(guest.spawn(sleep(0.001)).is_completed)
    guest.close()
    guest.close()
    with pytest.raises(ExecutorClosedError):
        guest.spawn(sleep(1))
    seen = weakref.ref(guest)
    del guest
    gc.collect()

    assert seen() is None


# ---- the host ends first ------------------------------------------------------------------


def test_asyncio_that_ends_closes_its_guest(caplog: pytest.LogCaptureFixture) -> None:
    """``asyncio.run`` ends with whatever was begun in it."""
    guests: list[Guest] = []

    async def main() -> TaskHandle[None]:
        guests.append(attach())
        task = guests[0].spawn(sleep(3600))
        await asyncio.sleep(0.001)
        return task

    task = asyncio.run(main(), debug=True)

    assert task.state is TaskState.CANCELLED
    assert "1 task(s) pending" in caplog.text
    with pytest.raises(ExecutorClosedError):
        guests[0].spawn(sleep(1))


def test_trio_that_ends_closes_its_guest(caplog: pytest.LogCaptureFixture) -> None:
    """A system task is cancelled when the main task has ended."""
    trio = pytest.importorskip("trio")

    async def main() -> TaskHandle[None]:
        task = attach().spawn(sleep(3600))
        await trio.sleep(0.001)
        return task

    task = trio.run(main)

    assert task.state is TaskState.CANCELLED
    assert "1 task(s) pending" in caplog.text


def test_a_nursery_that_is_cancelled_closes_its_guest(caplog: pytest.LogCaptureFixture) -> None:
    """And goes on being cancelled."""
    trio = pytest.importorskip("trio")

    async def main() -> TaskHandle[None]:
        async with trio.open_nursery() as nursery:
            task = attach(nursery).spawn(sleep(3600))
            await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        return task

    assert trio.run(main).state is TaskState.CANCELLED
    assert "1 task(s) pending" in caplog.text


def test_a_host_that_is_over_is_left_alone() -> None:
    """A wake that comes late finds nobody, and is no error of whoever wakes."""
    loop = PlainLoop()
    guest = bare_guest(loop)
    promise: Promise[int] = Promise()
    task = guest.spawn(promise.future())
    loop.run_until(lambda: bool(guest.executor.waiting_tasks()))
    loop.close()

    promise.resolve(1)

    assert not task.is_completed()
    task.cancel()
    guest.close()


def test_a_loop_of_asyncio_that_is_closed_without_ceremony() -> None:
    """Nobody told: the guest is closed by whoever holds it, or with its last user."""
    loop = asyncio.new_event_loop()
    guest = attach(loop)
    promise: Promise[int] = Promise()
    task = guest.spawn(promise.future())
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()

    promise.resolve(1)

    task.cancel()
    guest.close()


# ---- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bare", "asyncio", "trio-nursery"])
def test_an_interrupt_in_a_task_goes_up_through_the_host(name: str) -> None:
    """As from any callback of that host."""

    async def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - trio's nursery wraps it
        HARNESSES[name](lambda guest: guest.spawn(main()))
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]

    assert isinstance(error, KeyboardInterrupt)


def test_what_is_no_host_is_refused() -> None:
    """With the list of what is."""
    with pytest.raises(TypeError, match="is no host: give a loop of asyncio"):
        attach(object())
    with pytest.raises(RuntimeError, match="no loop of asyncio or trio runs"):
        attach()


@pytest.mark.process
def test_a_guest_of_a_bare_host_loads_no_other_loop() -> None:
    """Nobody's loop is imported on suspicion."""
    program = (
        "import sys; from runtime.interop.guest import attach; "
        "from runtime.interop.hosts import BareHost; calls = []; "
        "guest = attach(BareHost(calls.append, print)); guest.spawn(__import__('runtime')"
        ".sleep(0)); calls.pop()(); guest.close(); "
        "sys.exit(bool({'asyncio', 'trio', 'tkinter', 'uvloop'} & set(sys.modules)))"
    )

    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=GUARD,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
