"""A thread in ``result`` takes it on itself to note the outcome; others are told all the same."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import race
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import give

if TYPE_CHECKING:
    from runtime.interop.concurrent import PoolExecutor


def in_thread(call: Any) -> threading.Thread:  # Any: of whatever type
    """Have it called."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def wait_for_waiter(future: Any) -> None:  # Any: a future of ours
    """Return when a thread waits for the job."""
    guard = threading.Event()
    for _ in range(10_000):
        if future._unheard and future._job._waiting() and future not in future._job._waiting():
            return
        guard.wait(0.001)
    raise AssertionError("nobody waits")


def unheard(executor: PoolExecutor, gate: Any) -> Any:  # Any: a future of ours
    """Return a future whose job has ended, as where a thread waits that has not noted it yet."""
    future: Any = executor.submit(gate)
    gate.wait_begun()
    future._unheard = True
    future._job._forget(future)
    gate.open()
    assert executor.pool.wait_idle(GUARD)
    return future


def test_a_wait_that_gives_up_leaves_the_future_to_be_told(single: PoolExecutor, gate: Any) -> None:
    """Nobody may ever ask again, and the executor counts what it has to wait for."""
    future = single.submit(gate)
    gate.wait_begun()

    with pytest.raises(TimeoutError):
        future.result(0.01)
    gate.open()

    assert single.pool.wait_idle(GUARD)
    single.shutdown()
    assert future._state == "FINISHED"  # nobody has asked


def test_others_are_told_while_a_thread_waits(single: PoolExecutor, gate: Any) -> None:
    """Callbacks, ``wait`` and more threads, that come when the wait has begun."""
    future = single.submit(gate)
    gate.wait_begun()
    threads = [in_thread(future.result)]
    wait_for_waiter(future)

    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    threads += [in_thread(future.exception), in_thread(future.result)]
    gate.open()

    assert concurrent.futures.wait([future], GUARD).done == {future}
    assert called.wait(GUARD)
    for thread in threads:
        thread.join(GUARD)
        assert not thread.is_alive()


def test_it_is_done_before_the_thread_that_waits_has_noted_it(
    single: PoolExecutor, gate: Any
) -> None:
    """The thread may be stopped, or in a signal handler; here there is none."""
    future = unheard(single, gate)
    assert future._state == "PENDING"

    assert (future.done(), future.cancelled(), future.running()) == (True, False, False)
    assert future.result(0) == "through"


def test_a_callback_that_comes_then_is_called(single: PoolExecutor, gate: Any) -> None:
    """Likewise, by who brings it."""
    future = unheard(single, gate)
    called: list[object] = []

    future.add_done_callback(called.append)

    assert called == [future]


@pytest.mark.slow
@pytest.mark.usefixtures("eager_thread_switches")
def test_waits_and_callbacks_that_race_with_the_end_all_end(executor: PoolExecutor) -> None:
    """Each callback is called once, and each reader gets the value."""
    for number in range(200):
        future = executor.submit(give, number)
        called: queue.Queue[object] = queue.Queue()

        found = race(
            partial(future.result, GUARD),
            partial(future.add_done_callback, called.put),
            partial(concurrent.futures.wait, [future], GUARD),
            partial(future.result, GUARD),
        )

        assert (found[0], found[3]) == (number, number)
        assert called.get(timeout=GUARD) is future  # by the settler, perhaps after that
        assert called.empty()


@pytest.mark.parametrize("look", ["result", "exception", "done"])
def test_whoever_looks_need_not_wait_for_callbacks(
    single: PoolExecutor, gate: Any, look: str
) -> None:
    """One of them may wait for what the reader does next; each is called once, and not by it."""
    go_on, calls = threading.Event(), []

    def call(_: object) -> None:
        calls.append((threading.current_thread(), go_on.wait(GUARD)))

    future = single.submit(gate)
    future.add_done_callback(call)
    gate.wait_begun()
    opener = in_thread(gate.open)
    if look == "done":
        while not future.done():
            opener.join(0.001)
    else:
        getattr(future, look)(GUARD)
    assert future.result(0) is future.result(0)
    go_on.set()
    single.shutdown()
    opener.join()

    ((thread, waited),) = calls
    assert waited
    assert thread is not threading.current_thread()
