"""Deadlines: the heap of an executor, and the queue with a thread of its own."""

# Fakes take anything:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import math
import sys
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.async_runtime import timer_heap, timers
from runtime.async_runtime.timer_heap import TimerHeap
from runtime.async_runtime.timers import DeadlineQueue, shared_deadlines
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

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
        heap.run_due(moment)
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

    heap = TimerHeap()
    heap.add(1, lambda: 1 // 0)
    heap.add(2, interrupt)
    heap.add(3, lambda: ran.append(1))

    with pytest.raises(KeyboardInterrupt):
        heap.run_due(5)

    assert ran == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_timer_whose_callback_was_interrupted_is_called_once_more() -> None:
    """A signal handler may raise before the callback did anything: its sleeper must wake."""
    calls: list[int] = []

    def interrupted() -> None:
        calls.append(1)
        raise KeyboardInterrupt

    heap = TimerHeap()
    heap.add(1, interrupted)
    with pytest.raises(KeyboardInterrupt):
        heap.run_due(5)

    assert heap.next_deadline() is None  # one that raises for ever is not kept for ever
    assert calls == [1, 1]


def test_a_callback_that_asks_for_no_time_waits_for_the_next_look() -> None:
    """The loop polls its tasks in between; and nothing else has to wait for that."""
    heap = TimerHeap()
    log: list[str] = []

    def again() -> None:
        log.append("again")
        heap.add(5, again)

    heap.add(4, again)
    heap.add(5, lambda: log.append("other"))
    heap.run_due(5)

    assert log == ["again", "other"]
    assert heap.next_deadline() == 5


def interrupting(moment: int) -> Callable[[Any, str, Any], Any]:
    """Return a trace function that raises at the *moment*-th line or call in `timer_heap`."""
    seen = [0]

    def trace(frame: Any, event: str, _arg: Any) -> Any:
        if frame.f_code.co_filename != timer_heap.__file__:
            return None
        functions = {"run_due", "take_due", "run_each"}
        if event in {"call", "line"} and frame.f_code.co_name in functions:
            seen[0] += 1
            if seen[0] == moment:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    return trace


@pytest.mark.parametrize("moment", range(1, 60))
def test_an_interrupt_anywhere_in_a_tick_loses_no_timer(moment: int) -> None:
    """Ctrl-C in a host that goes on: a sleeper would wait for ever, without a deadline."""
    heap = TimerHeap()
    ran: list[int] = []
    for index in range(3):
        heap.add(index, partial(ran.append, index))

    before = sys.gettrace()
    sys.settrace(interrupting(moment))
    try:
        heap.run_due(5)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    heap.run_due(5)

    assert sorted(set(ran)) == [0, 1, 2]
    assert heap.next_deadline() is None


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
    heap.run_due(2.0)
    assert called == ["late"]
