"""Deadlines: the heap of an executor, and the queue with a thread of its own."""

# Fakes take anything:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import math
import threading
import weakref
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.async_runtime import timers
from runtime.async_runtime.timers import DeadlineQueue, TimerHeap, shared_deadlines
from runtime.testing import ManualClock

DEADLINES = st.one_of(st.floats(0, 100), st.integers(0, 5), st.just(math.inf))


@given(
    st.lists(st.tuples(DEADLINES, st.booleans()), max_size=200),
    st.lists(st.floats(0, 120), max_size=5),
)
def test_the_heap_gives_what_is_due_in_order(
    entries: list[tuple[float, bool]], moments: list[float]
) -> None:
    """As a sorted list would, whatever was cancelled, purged or never comes."""
    heap = TimerHeap()
    fired: list[tuple[float, int]] = []
    alive: list[tuple[float, int]] = []
    made = []
    for index, (deadline, cancelled) in enumerate(entries):
        entry = (deadline, index)
        made.append((heap.add(deadline, partial(fired.append, entry)), cancelled))
        if not cancelled and deadline != math.inf:
            alive.append(entry)
    for timer, cancelled in made:
        if cancelled:
            timer.cancel()
            timer.cancel()

    alive.sort()
    for moment in sorted(moments):
        earliest = alive[0][0] if alive else None
        assert heap.next_deadline() == earliest
        assert heap.may_be_due(moment) or earliest is None or earliest > moment
        for callback in heap.pop_due(moment):
            callback()
        alive = [entry for entry in alive if entry[0] > moment]

    expected = sorted(
        (deadline, index)
        for index, (deadline, cancelled) in enumerate(entries)
        if not cancelled and moments and deadline <= max(moments)
    )
    assert fired == expected


def test_a_hundred_thousand_cancelled_timers_give_their_memory_back() -> None:
    """Not only when they would have been due."""
    heap = TimerHeap()
    keep = heap.add(1e9, lambda: None)
    for timer in [heap.add(float(n), lambda: None) for n in range(100_000)]:
        timer.cancel()

    assert heap.next_deadline() == keep[0]
    assert len(heap) == 1
    heap.clear()
    assert heap.next_deadline() is None
    assert not heap.may_be_due(1e9)


def test_a_cancelled_timer_lets_go_of_its_callback_at_once() -> None:
    """It may hold something large."""

    class Large:
        def __call__(self) -> None:
            pytest.fail("called")

    heap = TimerHeap()
    large = Large()
    reference = weakref.ref(large)
    timer = heap.add(5, large)
    del large
    timer.cancel()

    assert reference() is None


def test_timers_that_come_due_together_all_run(caplog: pytest.LogCaptureFixture) -> None:
    """An error is reported, an interrupt passes afterwards."""
    ran: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timers.run_each([lambda: 1 // 0, interrupt, lambda: ran.append(1)])

    assert ran == [1]
    assert "ZeroDivisionError" in caplog.text


# ---- the queue with a thread --------------------------------------------------------------


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let idle watchers leave quickly, so that each test sees the end of its own."""
    monkeypatch.setattr(timers, "_LINGER", 0.01)


def ended(queue: DeadlineQueue) -> bool:
    """Wait for the watcher of *queue* to leave."""
    thread = queue._thread
    if thread is not None:
        thread.join(10)
    return queue._thread is None


def test_the_watcher_calls_back_and_ends_when_idle() -> None:
    """And starts again when there is something to watch."""
    queue = DeadlineQueue(name="vela-deadlines")
    assert queue._thread is None
    for _ in range(2):
        called = threading.Event()
        queue.add_in(0.001, called.set)
        assert called.wait(10)
        assert ended(queue)


def test_an_earlier_deadline_wakes_the_watcher() -> None:
    """It sleeps for the later one."""
    queue = DeadlineQueue()
    far = queue.add_in(3600, lambda: pytest.fail("called"))
    called = threading.Event()
    queue.add_in(0.001, called.set)

    assert called.wait(10)
    far.cancel()
    queue.add_in(0, called.clear)
    assert ended(queue)


def test_a_deadline_that_never_comes_starts_nothing() -> None:
    """And one that is no point in time is refused."""
    queue = DeadlineQueue()
    queue.add(math.inf, lambda: None)

    assert queue._thread is None
    assert len(queue) == 0
    with pytest.raises(ValueError, match="NaN"):
        queue.add(math.nan, lambda: None)


def test_the_watcher_lives_through_whatever_a_callback_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody else would answer the other deadlines."""
    queue = DeadlineQueue()
    called = threading.Event()

    def leave() -> None:
        raise SystemExit

    queue.add_in(0, leave)
    queue.add_in(0.005, called.set)

    assert called.wait(10)
    assert ended(queue)
    assert "SystemExit" in caplog.text


def test_a_watcher_that_cannot_start_is_an_error_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one may have more luck."""
    queue = DeadlineQueue()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            queue.add_in(0, lambda: pytest.fail("called"))

    called = threading.Event()
    queue.add_in(0, called.set)
    assert called.wait(10)
    assert ended(queue)


def test_two_threads_that_need_the_watcher_first_start_one() -> None:
    """The second one finds it."""
    queue = DeadlineQueue()
    called = threading.Event()
    queue.add_in(0.01, called.set)
    thread = queue._thread

    queue._start()

    assert queue._thread is thread
    assert called.wait(10)
    queue._wake()
    queue._wake()
    assert ended(queue)


def test_on_a_clock_that_is_moved_there_is_no_thread() -> None:
    """Whoever moves it runs what is due; a dropped queue is forgotten."""
    clock = ManualClock()
    queue = DeadlineQueue(clock)
    log: list[str] = []
    queue.add_in(2, lambda: log.append("two"))
    queue.add(1, lambda: log.append("one"))
    assert queue._thread is None

    clock.advance(1.5)
    assert log == ["one"]
    clock.advance(1)
    assert log == ["one", "two"]

    del queue
    gc.collect()
    clock.advance(1)


def test_the_shared_queue_is_one() -> None:
    """For the whole process, also when two threads ask first."""
    assert shared_deadlines() is shared_deadlines()


def test_an_earlier_deadline_added_as_the_watcher_goes_to_sleep_is_not_missed() -> None:
    """It has said how long it will sleep, under the lock, and does not sleep yet."""
    queue = DeadlineQueue()
    called = threading.Event()

    class Gate:
        """The watcher's gate, with somebody who comes just before it."""

        def __init__(self, gate: Any) -> None:
            self.gate = gate
            self.once = [True]

        def acquire(self, *, timeout: float) -> bool:
            if self.once:
                self.once.pop()
                queue.add_in(0, called.set)
            return bool(self.gate.acquire(timeout=timeout))

        def release(self) -> None:
            self.gate.release()

    queue._gate = Gate(queue._gate)  # type: ignore[assignment]  # the probe
    far = queue.add_in(3600, lambda: pytest.fail("called"))

    assert called.wait(10)
    far.cancel()
    queue.add_in(0, lambda: None)
    assert ended(queue)


def test_cancelled_deadlines_do_not_pile_up_while_the_watcher_sleeps() -> None:
    """A service gives every job a limit of an hour, and a hundred thousand jobs a minute."""
    clock = ManualClock()
    queue = DeadlineQueue(clock)

    for _ in range(10_000):
        queue.add_in(3600.0, fail_if_called).cancel()

    assert len(queue) < 200


def fail_if_called() -> None:
    """Stand for a deadline that must not come."""
    raise AssertionError("a cancelled deadline was called")


def test_a_timer_that_is_added_in_the_middle_of_a_purge_is_kept() -> None:
    """A signal handler may spawn with a time limit while this thread cleans up."""
    heap = TimerHeap()
    called: list[str] = []
    heap._purging = True  # as it stands when the handler runs

    heap.add(1.0, lambda: called.append("late"))

    heap._purging = False
    heap._purge()
    for callback in heap.pop_due(2.0):
        callback()
    assert called == ["late"]
