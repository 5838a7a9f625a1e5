"""Done-callbacks of what the deadline watcher settles run on a thread of their own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Promise, callback_thread, timers, waiters
from runtime.async_runtime.timers import DeadlineQueue
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadlineQueue]:
    """Give a queue whose watcher has left at the end."""
    monkeypatch.setattr(timers, "_LINGER", 0.01)
    queue = DeadlineQueue()
    yield queue
    if queue._thread is not None:
        queue._thread.join(GUARD)


def test_a_callback_that_blocks_holds_up_no_other_deadline(queue: DeadlineQueue) -> None:
    """It may wait for anything, another limit included; all limits have one watcher."""
    first, second = Promise[int](), Promise[int]()
    seen: list[object] = []
    over = threading.Event()

    def block(_future: object) -> None:
        seen.append(second.future().result(GUARD))
        seen.append(threading.current_thread().name)
        over.set()

    first.future().add_done_callback(block)
    queue.add_in(0.0, lambda: first.resolve(1))
    queue.add_in(0.001, lambda: second.resolve(2))

    assert over.wait(GUARD)
    assert seen == [2, "vela-callbacks"]


def test_callbacks_keep_their_order_and_errors_are_reported(
    queue: DeadlineQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever one raises: nobody else would see it, and the others still run."""
    promise = Promise[int]()
    log: list[int] = []
    over = threading.Event()

    def leave(_future: object) -> None:
        log.append(1)
        raise SystemExit

    promise.future().add_done_callback(lambda _: log.append(0))
    promise.future().add_done_callback(leave)
    promise.future().add_done_callback(lambda _: log.append(2))
    promise.future().add_done_callback(lambda _: over.set())
    queue.add_in(0.0, lambda: promise.resolve(1))

    assert over.wait(GUARD)
    assert log == [0, 1, 2]
    assert "SystemExit" in caplog.text


def test_without_a_thread_to_be_had_callbacks_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late limits are better than lost callbacks."""
    promise = Promise[int]()
    log: list[str] = []
    promise.future().add_done_callback(lambda _: log.append("first"))
    monkeypatch.setattr(waiters, "must_hand_over", lambda: True)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        promise.resolve(1)
        assert log == ["first"]

    over = threading.Event()
    callback_thread.submit(over.set)
    assert over.wait(GUARD)


def test_who_moves_the_clock_runs_the_callbacks() -> None:
    """Tests see them when `advance` has returned."""
    clock = ManualClock()
    queue = DeadlineQueue(clock)
    promise = Promise[int]()
    threads: list[threading.Thread] = []
    promise.future().add_done_callback(lambda _: threads.append(threading.current_thread()))
    queue.add_in(1, lambda: promise.resolve(1))

    clock.advance(1)

    assert threads == [threading.current_thread()]


def test_a_forked_child_has_no_callbacks_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor its thread, which does not exist there."""
    with monkeypatch.context() as patch:
        patch.setattr(callback_thread, "_thread", threading.Thread())  # as if one ran
        callback_thread.submit(lambda: pytest.fail("the parent's"))

        callback_thread.reset_after_fork()

        assert callback_thread._thread is None
    callback_thread.reset_after_fork()  # the patch put None back
    over = threading.Event()
    callback_thread.submit(over.set)
    assert over.wait(GUARD)
