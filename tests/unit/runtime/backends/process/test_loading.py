"""Threads that unpickle results: one that hangs stops no other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import loading
from runtime.backends.process.loading import Loader
from tests.unit.runtime.backends.process.core_bench import FakeJob
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


def loaders() -> list[threading.Thread]:
    """Return the threads that load."""
    return [thread for thread in threading.enumerate() if thread.name == "vela-results"]


@pytest.fixture
def loader() -> Iterator[Loader]:
    """A loader whose threads are gone at the end."""
    loader = Loader()
    yield loader
    loader.close()
    for thread in loaders():
        thread.join(GUARD)
        assert not thread.is_alive()


def do(loader: Loader) -> threading.Thread:
    """Have something loaded; return the thread that did it."""
    seen: list[threading.Thread] = []
    done = threading.Event()

    def call() -> None:
        seen.append(threading.current_thread())
        done.set()

    loader.submit(call)
    assert done.wait(GUARD)
    return seen[0]


def test_what_hangs_stops_nothing_else(loader: Loader) -> None:
    """The code of a user may take for ever to rebuild its objects."""
    gates: list[Gate[str]] = [Gate() for _ in range(loading._MOST - 1)]
    for gate in gates:
        loader.submit(gate)
    for gate in gates:
        gate.wait_begun()

    for _ in range(20):
        do(loader)

    for gate in gates:
        gate.open()


def test_where_all_hang_the_next_ones_wait_and_nothing_is_lost(loader: Loader) -> None:
    """Threads are bounded."""
    gates: list[Gate[str]] = [Gate() for _ in range(loading._MOST)]
    for gate in gates:
        loader.submit(gate)
    for gate in gates:
        gate.wait_begun()
    done = threading.Semaphore(0)
    for _ in range(50):
        loader.submit(done.release)
    assert len(loaders()) == loading._MOST
    assert not done.acquire(blocking=False)

    gates[3].open()

    for _ in range(50):
        assert done.acquire(timeout=GUARD)
    for gate in gates:
        gate.open()


def hung(loader: Loader, first: int, count: int) -> tuple[list[Gate[str]], list[FakeJob]]:
    """Return what hangs for *count* jobs, and them."""
    gates: list[Gate[str]] = [Gate() for _ in range(count)]
    jobs = [FakeJob(first + number) for number in range(count)]
    for gate, job in zip(gates, jobs, strict=True):
        loader.submit(gate, job)
    for gate in gates:
        gate.wait_begun()
    return gates, jobs


def test_what_hangs_for_jobs_that_are_over_stops_nothing(loader: Loader) -> None:
    """The threads are lost, and others take their places, whoever comes first."""
    gates, jobs = hung(loader, 1, loading._MOST)
    done = threading.Semaphore(0)
    loader.submit(done.release)
    loader.note_over()  # of none of these
    assert not done.acquire(blocking=False)

    jobs[3].state = "over"
    loader.note_over()

    assert done.acquire(timeout=GUARD)
    for job in jobs:
        job.state = "over"
    more, _ = hung(loader, 100, loading._MOST - 1)
    do(loader)
    for gate in gates + more:
        gate.open()


def test_there_is_an_end_to_the_threads_that_are_lost(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the next ones wait after all."""
    monkeypatch.setattr(loading, "_MOST_LOST", 2)
    gates: list[Gate[str]] = []
    for first in range(loading._MOST + 2):
        more, (job,) = hung(loader, first, 1)
        gates += more
        job.state = "over"
    done = threading.Semaphore(0)
    loader.submit(done.release)
    loader.note_over()

    assert len(loaders()) == loading._MOST + 2
    assert not done.acquire(blocking=False)
    gates[0].open()
    assert done.acquire(timeout=GUARD)
    for gate in gates:
        gate.open()


def test_a_replacement_that_cannot_be_started_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits goes on waiting; who settled the job loads nothing of others."""
    loader = Loader()
    loader._queue.append((list, None))

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    loader.note_over()

    assert (loader._count, len(loader._queue)) == (0, 1)


def test_a_thread_that_is_free_is_used_again(loader: Loader) -> None:
    """One after the other: few threads do all."""
    threads = {do(loader) for _ in range(50)}
    assert len(threads) <= 3


def test_a_thread_that_is_free_for_long_ends(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle pool has none."""
    monkeypatch.setattr(loading, "_LINGER", 0.0)
    for _ in range(20):
        do(loader).join(GUARD)
    assert loader._count == 0
    assert loader._free == []


def test_a_thread_that_gives_up_when_it_is_called_stays(loader: Loader) -> None:
    """Its gate was opened a moment after it looked at the clock."""
    gate = threading.Lock()
    loader._count = 1

    assert loader._has_left(gate, is_tired=True) is False
    assert gate.locked()
    loader._queue.append((list, None))
    assert loader._has_left(gate, is_tired=False) is False
    loader._queue.clear()
    loader._closed = True
    assert loader._has_left(gate, is_tired=False) is True
    assert loader._count == 0


def test_an_error_of_ours_is_logged_and_the_next_is_loaded(
    loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    """No result goes with another one."""

    def fail() -> None:
        raise SystemExit("a bug")

    loader.submit(fail)
    do(loader)
    do(loader)
    assert "the loader goes on" in caplog.text or loaders()


def test_where_no_thread_can_be_had_it_is_loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow, but not lost."""
    loader = Loader()
    loader.close()

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert do(loader) is threading.current_thread()
