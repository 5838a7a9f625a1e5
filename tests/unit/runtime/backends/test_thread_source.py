"""Where worker threads come from: one executor for the process, made and ended on demand."""

from __future__ import annotations

import concurrent.futures.thread as owner
import contextvars
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends import thread_source
from runtime.backends.thread_source import ThreadSource
from runtime.errors import WorkerStartError
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable


class _Pump:
    """What runs on a thread; tells who runs it, and ends when it is let go."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.begun = threading.Event()
        self.end = threading.Event()

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.end.wait(GUARD)

    def finish(self) -> None:
        """Let it end, and wait for the thread."""
        self.end.set()
        assert self.thread is not None
        self.thread.join(GUARD)


def _started(source: ThreadSource) -> _Pump:
    pump = _Pump()
    source.start(pump)
    assert pump.begun.wait(GUARD)
    return pump


def test_a_thread_is_a_daemon_with_a_name_of_ours_and_exit_does_not_join_it() -> None:
    """One stuck job must not hang the exit of the interpreter."""
    source = ThreadSource()

    pump = _started(source)

    assert pump.thread is not None
    assert pump.thread.daemon
    assert pump.thread.name == "vela-worker-1"
    assert pump.thread not in owner._threads_queues
    pump.finish()


def test_a_thread_that_the_exit_waits_for_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit begins in the middle of a start: it would wait for as long as the pool is open."""
    source, ran = ThreadSource(), []
    threads: list[threading.Thread] = []
    adjust = ThreadPoolExecutor._adjust_thread_count

    def adjust_as_the_exit_begins(self: ThreadPoolExecutor) -> None:
        adjust(self)
        threads.extend(self._threads)
        monkeypatch.setattr(owner, "_shutdown", True)

    monkeypatch.setattr(ThreadPoolExecutor, "_adjust_thread_count", adjust_as_the_exit_begins)

    with pytest.raises(WorkerStartError, match="the exit waits for this thread already"):
        source.start(lambda: ran.append(1))

    assert threads[0] in owner._threads_queues
    threads[0].join(GUARD)
    assert not threads[0].is_alive()
    assert ran == []
    assert source._in_use == set()


@pytest.mark.parametrize("name", ["_threads_queues", "_global_shutdown_lock"])
def test_without_the_private_table_the_thread_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A later Python may keep its books in another way."""
    monkeypatch.delattr(owner, name)
    spared: list[bool] = []

    thread = threading.Thread(target=lambda: spared.append(thread_source._spare_from_exit()))
    thread.daemon = True
    thread.start()
    thread.join(GUARD)

    assert spared == [True]


def test_a_finalizer_on_a_thread_that_begins_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may run while that thread holds the executor's lock: a start there would hang."""
    source = ThreadSource()
    order: list[str] = []
    spare = thread_source._spare_from_exit

    def spare_with_finalizer() -> bool:
        order.append(f"put off: {source.defer(lambda: order.append('later'))}")
        return spare()

    monkeypatch.setattr(thread_source, "_spare_from_exit", spare_with_finalizer)

    pump = _started(source)

    assert order == ["put off: True", "later"]
    pump.finish()


def test_all_threads_come_from_one_executor_which_ends_with_the_last() -> None:
    """Nothing is left of a source that is not used."""
    source = ThreadSource()
    first, second = _started(source), _started(source)
    executor = source._executor
    assert executor is not None

    first.end.set()
    second.finish()

    assert first.thread is not None
    first.thread.join(GUARD)
    assert source._executor is None
    assert executor._shutdown
    third = _started(source)
    assert source._executor is not executor
    third.finish()


def test_threads_that_are_seen_off_have_ended_though_others_run() -> None:
    """They would rest in the executor, for whoever wants one next."""
    source, gone = ThreadSource(), object()
    other = _started(source)
    threads = [_let_go(source, gone) for _ in range(2)]

    source.see_off(gone, threads, None)

    assert [thread.is_alive() for thread in threads] == [False, False]
    other.finish()


def test_a_thread_that_somebody_else_has_by_now_is_not_waited_for() -> None:
    """That may take for ever; it ends when that one lets it go."""
    source, gone = ThreadSource(), object()
    keeper = _started(source)
    thread = _let_go(source, gone)
    executor = source._executor
    assert executor is not None
    assert executor._idle_semaphore.acquire(timeout=GUARD)  # wait until it rests
    executor._idle_semaphore.release()
    other = _started(source)
    assert other.thread is thread

    source.see_off(gone, [thread], None)

    assert thread.is_alive()
    other.finish()
    keeper.finish()


def test_a_thread_does_not_wait_for_itself() -> None:
    """What a job leaves behind may shut its pool down when it is freed, at the very end."""
    source, owner, ran = ThreadSource(), object(), threading.Event()

    def see_off() -> None:
        source.see_off(owner, [threading.current_thread()], None)
        ran.set()

    source.start(see_off, owner)

    assert ran.wait(GUARD)


def test_while_a_thread_is_being_started_none_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that has come free may just be taken for it."""
    source, gone = ThreadSource(), object()
    keeper = _started(source)
    thread = _let_go(source, gone)
    submit = ThreadPoolExecutor.submit

    def see_off_and_submit(self: ThreadPoolExecutor, *args: Callable[..., None]) -> object:
        source.see_off(gone, [thread], None)
        return submit(self, *args)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", see_off_and_submit)

    other = _started(source)

    assert source._executor is not None
    other.end.set()
    keeper.finish()
    other.finish()


def _let_go(source: ThreadSource, owner: object) -> threading.Thread:
    """Return a thread that was *owner*'s."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    def work() -> None:
        threads.append(threading.current_thread())
        done.set()

    source.start(work, owner)
    assert done.wait(GUARD)
    return threads[0]


def test_a_worker_starts_another_worker_without_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a daemon itself: no starter is needed."""
    source, pump = ThreadSource(), _Pump()
    started_by: dict[str, list[str]] = {}
    start = threading.Thread.start

    def note_and_start(self: threading.Thread) -> None:
        started_by.setdefault(threading.current_thread().name, []).append(self.name)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", note_and_start)

    source.start(lambda: source.start(pump))
    assert pump.begun.wait(GUARD)
    pump.finish()

    assert pump.thread is not None
    assert pump.thread.daemon
    assert started_by["MainThread"] == ["vela-starter"]
    assert len(started_by["vela-worker-1"]) == 1
    assert "vela-starter" not in started_by["vela-worker-1"]


def test_a_refused_starter_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's limit of threads is reached."""
    source = ThreadSource()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(WorkerStartError, match=r"can't start new thread.*use fewer workers"):
            source.start(lambda: None)

    assert source._executor is None  # nothing is left behind
    _started(source).finish()


def _fail_second_start(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """The starter starts, the worker does not: the executor keeps the ticket in its queue."""
    queued: list[Callable[[], None]] = []

    def submit(_: ThreadPoolExecutor, func: Callable[..., None], ticket: object) -> None:
        queued.append(lambda: func(ticket))
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    return queued


def test_a_ticket_without_a_thread_is_void_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor runs it when it has a thread again: that must do nothing."""
    source, ran = ThreadSource(), []
    queued = _fail_second_start(monkeypatch)

    with pytest.raises(WorkerStartError):
        source.start(lambda: ran.append(1))
    queued[0]()

    assert ran == []


def test_a_ticket_taken_by_a_free_thread_counts_as_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its start failed, and a thread that came free took it at once: both must not count."""
    source, ran = ThreadSource(), []

    def submit(_: ThreadPoolExecutor, func: Callable[..., None], ticket: object) -> None:
        func(ticket)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)

    source.start(lambda: ran.append(1))

    assert ran == [1]
    assert source._executor is None


@pytest.mark.parametrize("runs", [True, False])
def test_an_interrupt_during_the_start_is_raised_at_once(
    monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    """Whether the thread runs or not, the source's books are right."""
    source, ran = ThreadSource(), []

    def submit(_: ThreadPoolExecutor, func: Callable[..., None], ticket: object) -> None:
        if runs:
            func(ticket)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)

    with pytest.raises(KeyboardInterrupt):
        source.start(lambda: ran.append(1))

    assert len(ran) == runs
    assert source._in_use == set()


def test_a_finalizer_in_the_middle_of_a_start_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor's locks are not re-entrant: a second start on this thread would hang."""
    source = ThreadSource()
    order: list[str] = []
    submit = ThreadPoolExecutor.submit

    def submit_with_finalizer(self: ThreadPoolExecutor, *args: Callable[..., None]) -> object:
        order.append(f"put off: {source.defer(lambda: order.append('later'))}")
        future = submit(self, *args)
        order.append("submitted")
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit_with_finalizer)

    assert not source.defer(lambda: order.append("never"))
    _started(source).finish()

    assert order[0] == "put off: True"
    assert sorted(order[1:]) == ["later", "submitted"]  # by the new thread, which may be quick


def test_a_thread_does_not_keep_the_context_of_who_started_it() -> None:
    """Some builds let threads inherit it; what it holds would live as long as the worker."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []
    source = ThreadSource()
    variable.set("of the caller")
    done = threading.Event()

    def look() -> None:
        seen.append(variable.get())
        done.set()

    source.start(look)
    assert done.wait(GUARD)

    assert seen == ["none"]


def test_what_was_put_off_may_be_taken_by_another_starter() -> None:
    """Both see that there is something, and one is faster."""

    class Emptied(deque[Any]):  # Any: functions
        def __bool__(self) -> bool:
            return True  # as seen just before the other one took it

    source = ThreadSource()
    source._deferred = Emptied()

    pump = _started(source)  # nothing is raised on the thread that starts

    pump.finish()
