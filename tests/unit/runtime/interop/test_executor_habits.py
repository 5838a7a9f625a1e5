"""What programs do to executors: signals, finalizers, crowds, and threads that change places."""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.interop.concurrent import ThreadExecutor
from runtime.interop.lazy_future import FINISHED, LazyFuture
from runtime.testing import race
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import give

if TYPE_CHECKING:
    from runtime.interop.concurrent import PoolExecutor


def test_a_submit_may_interrupt_a_submit(single: PoolExecutor) -> None:
    """A signal handler and a finalizer run at any moment, on the same thread."""
    made: list[concurrent.futures.Future[int]] = []

    class Mischief:
        def __del__(self) -> None:
            made.append(single.submit(give, 2))

    def on_signal(*_: object) -> None:
        made.append(single.submit(give, 1))

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        for _ in range(50):
            Mischief()
            signal.raise_signal(signal.SIGUSR1)
            made.append(single.submit(give, 3))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert sum(future.result(GUARD) for future in made) == 50 * (1 + 2 + 3)


def test_many_queued_calls_block_no_submit(single: PoolExecutor, gate: Any) -> None:
    """There is no pipe in the way that could be full; and all of them are cancelled at once."""
    single.submit(gate)
    gate.wait_begun()
    futures = [single.submit(give, number) for number in range(10_000)]

    single.shutdown(wait=False, cancel_futures=True)
    gate.open()

    done, open_ = concurrent.futures.wait(futures, timeout=GUARD)
    assert (len(done), len(open_)) == (10_000, 0)
    assert all(future.cancelled() for future in futures)


@pytest.mark.usefixtures("eager_thread_switches")
def test_who_settles_and_who_asks_may_meet_at_any_moment() -> None:
    """Each waiter is told once, whoever of them is first."""
    for _ in range(200):
        future: LazyFuture[int] = LazyFuture()
        told: list[object] = []

        def settle(future: LazyFuture[int] = future) -> None:
            future._settle(FINISHED, 3, None)

        def ask(future: LazyFuture[int] = future) -> object:
            return concurrent.futures.wait([future], timeout=GUARD).not_done

        def look(future: concurrent.futures.Future[int] = future) -> object:
            return list(concurrent.futures.as_completed([future], timeout=GUARD)) == [future]

        def call(future: LazyFuture[int] = future, told: list[object] = told) -> None:
            future.add_done_callback(told.append)

        # Two settle: whoever waits for the job may see its outcome first.
        found = race(settle, ask, look, call, settle)

        assert found[1:4] == [set(), True, None]
        assert told == [future]
        assert (future.done(), future.result(0)) == (True, 3)


@pytest.mark.usefixtures("eager_thread_switches")
def test_cancel_meets_the_begin_and_the_end_of_the_job() -> None:
    """True means that it never ran; False that it did."""
    with ThreadExecutor(2) as executor:
        for _ in range(200):
            ran: list[int] = []
            future = executor.submit(ran.append, 1)
            cancelled = future.cancel()
            concurrent.futures.wait([future], timeout=GUARD)
            assert (cancelled, future.cancelled()) == (not ran, not ran)


def test_waiting_inside_of_jobs_by_the_standard_functions(single: PoolExecutor) -> None:
    """They wait for what other executors do: no circle, no help needed."""
    if not isinstance(single, ThreadExecutor):
        return
    event = threading.Event()
    with ThreadExecutor(1) as other:
        inner = other.submit(event.wait, GUARD)
        outer = single.submit(concurrent.futures.wait, [inner], GUARD)
        event.set()
        assert outer.result(GUARD).done == {inner}
