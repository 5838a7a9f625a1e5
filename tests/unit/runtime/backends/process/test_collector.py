"""The collector's thread: nothing that is asked of it is lost, and an error of one is one's own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.collector import READ, Collector
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Iterator


class Need:
    """Whether the collector is needed, and what it said."""

    def __init__(self) -> None:
        self.is_there = True
        self.ends = 0
        self.collector = Collector(lambda: self.is_there, self._note_end)

    def _note_end(self) -> None:
        self.ends += 1

    def finish(self) -> None:
        """Have the thread end, where there is one."""
        self.is_there = False
        thread = self.collector._thread
        if thread is not None:
            self.collector.ask(list)
            thread.join(GUARD)
            assert not thread.is_alive()


@pytest.fixture
def need() -> Iterator[Need]:
    """A collector that is needed until the test has ended."""
    need = Need()
    yield need
    need.finish()


def ask_and_wait(collector: Collector) -> threading.Thread:
    """Return the thread on which a request was done."""
    seen: list[threading.Thread] = []
    done = threading.Event()

    def request() -> None:
        assert collector.is_here()
        seen.append(threading.current_thread())
        done.set()

    collector.ask(request)
    assert done.wait(GUARD)
    return seen[0]


def test_requests_are_done_on_one_thread_in_their_order(need: Need) -> None:
    """That thread is started by the first one."""
    done: list[int] = []
    for number in range(100):
        need.collector.ask(lambda number=number: done.append(number))  # type: ignore[misc]  # mypy takes no default here

    assert ask_and_wait(need.collector) is need.collector._thread
    assert done == list(range(100))
    assert not need.collector.is_here()


def test_a_request_or_a_handler_that_raises_stops_nothing(
    need: Need, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged: a bug of ours, and the other children go on."""

    def fail(*_: object) -> None:
        raise SystemExit("a bug")

    read, write = os.pipe()
    try:
        called = threading.Event()

        def handler(_events: int) -> None:
            os.read(read, 1)
            called.set()
            fail()

        need.collector.ask(fail)
        need.collector.ask(lambda: need.collector.listen(read, handler))
        os.write(write, b"x")
        assert called.wait(GUARD)
        ask_and_wait(need.collector)
        need.collector.ask(lambda: need.collector.forget(read))
        ask_and_wait(need.collector)
    finally:
        os.close(read)
        os.close(write)
    assert caplog.text.count("the collector goes on after an error") == 2


def test_a_handler_may_forget_another_one_that_is_due(need: Need) -> None:
    """Its descriptor may be closed, or another one's, by then."""
    pipes = [os.pipe(), os.pipe()]
    called: list[int] = []
    done = threading.Event()

    def handler(fd: int) -> None:
        called.append(fd)
        for read, _ in pipes:
            need.collector.forget(read)
            need.collector.forget(read)
            need.collector.change(read, READ)
        done.set()

    def begin() -> None:
        for read, _ in pipes:
            need.collector.listen(read, lambda _, read=read: handler(read), 0)  # type: ignore[misc]  # as above
            need.collector.change(read, READ)

    for _, write in pipes:
        os.write(write, b"x")
    need.collector.ask(begin)
    assert done.wait(GUARD)
    ask_and_wait(need.collector)
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)

    assert len(called) == 1


def test_it_ends_when_it_is_not_needed_and_comes_back_when_asked(need: Need) -> None:
    """Nothing that is asked at that moment is lost."""
    for round_ in range(1, 20):
        need.is_there = True
        thread = ask_and_wait(need.collector)
        need.is_there = False
        need.collector.ask(list)
        thread.join(GUARD)
        assert not thread.is_alive()
        assert need.ends == round_


@pytest.mark.usefixtures("eager_thread_switches")
def test_what_is_asked_while_it_ends_is_done_by_another_one(need: Need) -> None:
    """Either it sees the request, or who asked starts a new thread."""
    need.is_there = False
    done: list[int] = []
    last = threading.Event()
    for number in range(300):
        need.collector.ask(lambda number=number: done.append(number))  # type: ignore[misc]  # as above
    need.collector.ask(last.set)
    assert last.wait(GUARD)
    assert sorted(done) == list(range(300))


def test_a_change_lets_it_look_whether_it_is_needed(need: Need) -> None:
    """The last child has gone: nobody asks for anything after that."""
    read, write = os.pipe()

    def handler(_: int) -> None:
        os.read(read, 1)
        need.collector.forget(read)
        need.is_there = False
        need.collector.note_change()

    need.collector.ask(lambda: need.collector.listen(read, handler))
    thread = ask_and_wait(need.collector)
    os.write(write, b"x")
    thread.join(GUARD)
    os.close(read)
    os.close(write)
    assert not thread.is_alive()
    assert need.ends == 1


def test_without_a_thread_whoever_asks_is_told(need: Need, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe is closed again; the next one may have more luck."""

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            need.collector.ask(list)
    assert need.collector._thread is None
    ask_and_wait(need.collector)


def test_in_a_forked_process_it_starts_anew(need: Need) -> None:
    """The thread is not there, and what it waited for is the parent's."""
    collector = need.collector
    ears, wake = os.pipe()
    collector._ears, collector._wake = ears, wake
    collector._requests.append(pytest.fail)
    collector._handlers[ears] = lambda _: pytest.fail("of the parent")

    collector.reset_after_fork()

    ask_and_wait(collector)


def test_the_next_thread_begins_when_the_last_one_has_ended(need: Need) -> None:
    """What a thread does as the last thing never meets the work of the next."""
    at_end, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def end() -> None:
        at_end.set()
        assert go_on.wait(GUARD)
        order.append("end")

    need.collector._at_end = end
    ask_and_wait(need.collector)
    need.is_there = False
    need.collector.ask(list)
    assert at_end.wait(GUARD)
    need.is_there = True
    done = threading.Event()
    need.collector.ask(lambda: order.append("next"))
    need.collector.ask(done.set)
    assert need.collector._thread is not None
    need.collector._at_end = list
    go_on.set()

    assert done.wait(GUARD)
    assert order == ["end", "next"]


def test_where_no_thread_can_be_started_the_end_comes_on_the_callers(
    need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the exit, say; after that of a thread which is about to end, and never while needed."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    ask_and_wait(need.collector)
    need.finish()
    assert need.ends == 1
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="shutdown"):
        need.collector.ask(need._note_end)

    need.is_there = True
    need.collector.end_here()
    assert need.ends == 1
    need.is_there = False
    need.collector.end_here()
    assert need.ends == 2
    assert not need.collector._requests, "what was refused is not done later"
