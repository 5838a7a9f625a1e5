"""What a forked child finds: nothing of the parent's that could hurt either."""

# Any error is the case:
# ruff: noqa: BLE001

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import select
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    Promise,
    Runtime,
    block_on,
    outcome,
    running,
    sleep,
    task,
    timers,
    yield_now,
)
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def in_child(check: Callable[[], None]) -> None:
    """Run *check* in a forked child; fail with what it printed if it fails."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the case
        pid = os.fork()
    if not pid:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writer)
    try:
        ended = select.select([reader], [], [], 30)[0]  # the end of the pipe, or a text
        text = os.read(reader, 4000).decode() if ended else "the child hangs"
        if not ended:
            os.kill(pid, 9)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(reader)
    assert status == 0, text


async def answer() -> int:
    """Return 42 after a turn."""
    await yield_now()
    return 42


def test_a_child_forked_while_the_loop_runs_makes_its_own(executor: Executor) -> None:
    """And the parent goes on as if nothing had happened."""
    promise: Promise[int] = Promise()
    other = executor.spawn(promise.future())

    def check() -> None:
        assert Executor().run_until_complete(answer()) == 42
        assert block_on(answer()) == 42
        assert Runtime.get() is not before

    async def main() -> int:
        await yield_now()
        in_child(check)
        promise.resolve(5)
        return await other

    before = Runtime.get()
    assert executor.run_until_complete(main()) == 5
    assert Runtime.get() is before
    before.executor.close()
    Runtime._shared = None


def test_locks_that_another_thread_held_are_new_in_the_child() -> None:
    """They would stay locked for ever there."""
    locks: list[Any] = [
        running._fence,
        outcome._lazy,
        task._numbers_lock,
        timers._shared_lock,
        Runtime._lock,
    ]
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        leave.wait(30)
        for lock in locks:
            lock.release()

    def check() -> None:
        with Executor() as executor:
            handle = executor.spawn(answer())
            assert handle.task_id() > 0
            handle.add_done_callback(lambda _: None)
            assert executor.run_until_complete(handle) == 42
        assert Runtime.get().block_on(answer()) == 42

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        in_child(check)
    finally:
        leave.set()
        thread.join()


def test_deadlines_work_in_the_child_and_those_of_the_parent_are_gone() -> None:
    """Its watcher does not exist there."""
    called = threading.Event()
    queue = timers.shared_deadlines()
    timer = queue.add_in(0.05, called.set)

    def check() -> None:
        assert timers.shared_deadlines() is queue
        assert len(queue) == 0
        assert sleep(0.001).result(10) is None
        assert not called.is_set()

    in_child(check)
    assert called.wait(10)
    timer.cancel()


def test_the_child_does_not_touch_the_descriptor_of_the_parent() -> None:
    """Reading there would take a wake-up away, writing would give a false one."""
    executor = Executor(clock=ManualClock(), block=False)
    number = executor.fileno()
    handle = executor.spawn(answer())

    def check() -> None:
        assert executor._parker._pipe is None
        executor.run_until_stalled()
        executor.close()
        assert handle.result() == 42

    in_child(check)

    assert select.select([number], [], [], 0)[0]
    executor.run_until_stalled()
    assert handle.result() == 42
    assert not select.select([number], [], [], 0)[0]
    executor.close()
