"""Many settlers, many waiters, any threads: one outcome, and nobody forgotten."""

# Fakes take anything; called within its own round:
# ruff: noqa: ANN401, B023

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.async_runtime import Executor, Promise, PromiseFuture
from runtime.async_runtime.outcome import VALUE
from runtime.errors import CancellationError, InvalidStateError
from runtime.testing import CountingWaker, race


class Probe(list[Any]):
    """A list of waiters that runs *between* once, right after the claim was popped."""

    def __init__(self, items: list[Any], between: Any) -> None:
        super().__init__(items)
        self.between = between

    def pop(self, *index: Any) -> Any:
        """Pop, then let the others come between."""
        item = super().pop(*index)
        between, self.between = self.between, None
        if between is not None:
            between()
        return item


def probed(between: Any) -> tuple[Promise[int], PromiseFuture[int]]:
    """Return a promise whose first settler is interrupted after it took the claim."""
    promise: Promise[int] = Promise()
    future = promise.future()
    future._waiters = Probe(future._waiters, between)
    return promise, future


def test_a_late_settler_between_claim_and_outcome_loses_no_waiter(waker: CountingWaker) -> None:
    """It finds a waiter where the claim was, and must not take it away."""
    late: list[bool] = []
    made: list[Promise[int]] = []
    promise, future = probed(lambda: late.append(made[0].try_resolve(2)))
    made.append(promise)
    assert future.poll(waker).is_pending()

    promise.resolve(1)

    assert late == [False]
    assert waker.count == 1
    assert future.result() == 1


def test_a_late_settler_that_puts_a_waiter_back_too_late_wakes_it(waker: CountingWaker) -> None:
    """The first settler went through the list while the waiter was out of it."""
    promise = Promise.resolved(1)
    future = promise.future()

    future._put_back(waker)

    assert waker.count == 1
    assert future._waiting() == []


def test_a_waiter_that_comes_between_claim_and_outcome_is_woken(waker: CountingWaker) -> None:
    """It saw no outcome, so it must be in the list when that is emptied."""
    made: list[PromiseFuture[int]] = []
    promise, future = probed(lambda: made[0].poll(waker))
    made.append(future)

    promise.resolve(1)

    assert waker.count == 1


def test_a_waiter_that_finds_the_outcome_after_it_was_added_wakes_itself(
    waker: CountingWaker,
) -> None:
    """The other order: the settler has been through before it was added."""
    promise: Promise[int] = Promise()
    future = promise.future()

    class Settling(list[Any]):
        def append(self, item: Any) -> None:
            promise.resolve(1)
            super().append(item)

    future._waiters = Settling(future._waiters)
    polled = future.poll(waker)

    assert polled.unwrap() == 1
    assert waker.count == 1


def test_a_crowd_that_arrives_between_is_woken() -> None:
    """The same for those in the dict, behind the first few."""
    wakers = [CountingWaker() for _ in range(100)]
    made: list[PromiseFuture[int]] = []
    promise, future = probed(lambda: [made[0].poll(waker) for waker in wakers[50:]])
    made.append(future)
    for waker in wakers[:50]:
        future.poll(waker)

    promise.resolve(1)

    assert {waker.count for waker in wakers} == {1}


def test_a_task_that_starts_to_wait_while_the_outcome_comes_goes_on(executor: Executor) -> None:
    """The same for ``await``, which has a path of its own."""
    promise: Promise[int] = Promise()
    future = promise.future()

    class Settling(list[Any]):
        def append(self, item: Any) -> None:
            promise.try_resolve(1)
            super().append(item)

    async def main() -> int:
        future._waiters = Settling(future._waiters)
        return await future

    assert executor.run_until_complete(main()) == 1


@pytest.mark.usefixtures("eager_thread_switches")
def test_of_several_settlers_exactly_one_comes_first() -> None:
    """Values, errors and cancellations race; everybody agrees on the winner."""
    for _ in range(40):
        promise: Promise[int] = Promise()
        future = promise.future()
        waker = CountingWaker()

        def poll(future: PromiseFuture[int] = future, waker: CountingWaker = waker) -> bool:
            with suppress(KeyError, CancellationError):  # settled before
                future.poll(waker)
            return False

        won = race(
            lambda: promise.try_resolve(1),
            lambda: promise.try_reject(KeyError()),
            promise.cancel,
            poll,
        )

        assert won.count(True) == 1
        error = future.exception()
        assert type(error) is (type(None), KeyError, CancellationError)[won.index(True)]
        assert waker.count <= 1


@pytest.mark.usefixtures("eager_thread_switches")
def test_threads_that_wait_while_another_settles_all_go_on() -> None:
    """Plain threads, parked on the same future."""
    for _ in range(20):
        promise: Promise[int] = Promise()
        waiting = [lambda: promise.future().result(10)] * 3

        assert race(*waiting, lambda: int(promise.try_resolve(1))) == [1, 1, 1, 1]


class Emptied(list[Any]):
    """A list of waiters that somebody else empties between a look and a pop."""

    def pop(self, *index: Any) -> Any:
        """Pop the claim; of the waiters, none is left."""
        item = super().pop(*index)
        if not index:
            self.clear()
            raise IndexError
        return item


def test_a_waiter_that_helps_itself_while_it_is_to_be_woken() -> None:
    """It has seen the outcome and has left: with one waiter, and with several."""
    for count in (1, 2):
        promise: Promise[int] = Promise()
        future = promise.future()
        future._waiters = Emptied(future._waiters)
        wakers = [CountingWaker() for _ in range(count)]
        for waker in wakers:
            future.poll(waker)

        promise.resolve(1)

        assert future.result() == 1
        assert {waker.count for waker in wakers} == {0}


def test_every_kind_of_future_is_outside_of_executors_without_one() -> None:
    """The text says what to do."""
    promise: Promise[int] = Promise()
    with pytest.raises(InvalidStateError, match="no runtime executor"):
        promise.future().__await__().send(None)
    with Executor() as executor:
        handle = executor.spawn(promise.future())
        with pytest.raises(InvalidStateError, match="no runtime executor"):
            handle.__await__().send(None)
        promise.resolve(1)
        executor.run()


def test_a_spurious_poll_of_an_awaiting_task_changes_nothing(executor: Executor) -> None:
    """It goes on waiting, and is woken once."""
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise.future()

    handle = executor.spawn(wait())
    for _ in range(3):
        executor.run_until_stalled()
        handle.wake()
    executor.run_until_stalled()
    promise.resolve(4)

    assert executor.run_until_complete(handle) == 4


class PromiseModel(RuleBasedStateMachine):
    """Any order of polls, settlements and withdrawals on one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.promise: Promise[int] = Promise()
        self.outcome: object = None
        self.interested: list[CountingWaker] = []
        self.gone: list[CountingWaker] = []

    @rule()
    def poll_anew(self) -> None:
        """A new waker comes."""
        self.interested.append(CountingWaker())
        self._poll(self.interested[-1])

    @rule(index=st.integers(0, 50))
    def poll_again(self, index: int) -> None:
        """A spurious poll."""
        if self.interested:
            self._poll(self.interested[index % len(self.interested)])

    @rule(index=st.integers(0, 50))
    def lose_interest(self, index: int) -> None:
        """Its task was cancelled."""
        if self.interested and self.outcome is None:
            waker = self.interested.pop(index % len(self.interested))
            self.promise.future()._forget(waker)
            self.gone.append(waker)

    @rule(how=st.sampled_from(["resolve", "reject", "cancel"]))
    def settle(self, how: str) -> None:
        """The first one stands."""
        came_first = {
            "resolve": lambda: self.promise.try_resolve(1),
            "reject": lambda: self.promise.try_reject(KeyError()),
            "cancel": self.promise.cancel,
        }[how]()
        assert came_first is (self.outcome is None)
        self.outcome = self.outcome or how

    def _poll(self, waker: CountingWaker) -> None:
        try:
            ready = self.promise.future().poll(waker).is_ready()
        except (KeyError, CancellationError):
            assert self.outcome in ("reject", "cancel")
        else:
            assert ready == (self.outcome == "resolve")
            assert ready or self.outcome is None

    @invariant()
    def woken_iff_settled(self) -> None:
        """Nobody too early, nobody forgotten, nobody who left."""
        future = self.promise.future()
        assert future.done() == (self.outcome is not None)
        assert all(waker.count == 0 for waker in self.gone)
        if self.outcome is None:
            assert all(waker.count == 0 for waker in self.interested)
            assert len(future._waiting()) == len(self.interested)
        else:
            assert future._waiting() == []


PromiseModel.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestPromiseModel = PromiseModel.TestCase


def test_publish_is_what_the_settler_does(waker: CountingWaker) -> None:
    """The base class's way, for futures that choose their settler by a lock of their own."""
    future: PromiseFuture[int] = PromiseFuture()
    future.poll(waker)

    future._publish(VALUE, 4)

    assert waker.count == 1
    assert future.result() == 4
