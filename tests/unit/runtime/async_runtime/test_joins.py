"""all, any, race, all_settled, and_then, or_else: futures over many futures."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; futures as users
# write them; called within its own round:
# ruff: noqa: ANN401, ARG002, B008, B023

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.async_runtime import Executor, Future, Poll, Promise, Waker, sleep
from runtime.errors import CancellationError
from runtime.testing import CountingWaker, race


def promises(count: int) -> tuple[list[Promise[int]], list[Future[int]]]:
    """Return open promises and their futures."""
    made: list[Promise[int]] = [Promise() for _ in range(count)]
    return made, [promise.future() for promise in made]


def test_all_gives_the_values_in_input_order(waker: CountingWaker) -> None:
    """Whichever comes first."""
    made, futures = promises(3)
    joined = Future.all(futures)
    assert joined.poll(waker).is_pending()

    for index in (2, 0, 1):
        made[index].resolve(index)

    assert waker.count == 3
    assert joined.poll(waker).unwrap() == [0, 1, 2]
    assert joined.poll(waker).unwrap() == [0, 1, 2]


def test_nothing_to_join(waker: CountingWaker) -> None:
    """Each has its own answer to an empty list."""
    assert Future.all([]).poll(waker).unwrap() == []
    assert Future.all_settled([]).poll(waker).unwrap() == []
    assert Future.race([]).poll(waker).is_pending()
    with pytest.raises(ValueError, match="no futures"):
        Future.any([]).poll(waker)


def test_all_surfaces_the_first_error_at_once_whichever_position(waker: CountingWaker) -> None:
    """Not only when the futures before it are done; the others are left alone."""
    made, futures = promises(3)
    joined = Future.all(futures)
    assert joined.poll(waker).is_pending()

    made[2].reject(KeyError("third"))

    with pytest.raises(KeyError, match="third"):
        joined.poll(waker)
    assert not made[0].is_completed()
    assert futures[0]._waiting() == []  # type: ignore[attr-defined]  # a PromiseFuture


def test_race_gives_the_first_outcome_value_or_error(waker: CountingWaker) -> None:
    """Losers go on."""
    made, futures = promises(2)
    raced = Future.race(futures)
    assert raced.poll(waker).is_pending()
    made[1].resolve(1)
    made[0].resolve(0)
    assert raced.poll(waker).unwrap() == 1

    made, futures = promises(2)
    raced = Future.race(futures)
    assert raced.poll(waker).is_pending()
    made[0].reject(KeyError())
    with pytest.raises(KeyError):
        raced.poll(waker)


def test_any_gives_the_first_value_and_passes_over_errors(waker: CountingWaker) -> None:
    """An error counts only when there is nothing else."""
    made, futures = promises(2)
    first = Future.any(futures)
    assert first.poll(waker).is_pending()
    made[0].reject(KeyError())
    assert first.poll(waker).is_pending()
    made[1].resolve(7)
    assert first.poll(waker).unwrap() == 7


def test_any_of_failures_raises_all_of_them_in_order(waker: CountingWaker) -> None:
    """Nothing is lost."""
    made, futures = promises(2)
    first = Future.any(futures)
    made[1].reject(KeyError("b"))
    made[0].reject(ValueError("a"))

    with pytest.raises(ExceptionGroup) as caught:
        first.poll(waker)
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


def test_all_settled_never_fails(waker: CountingWaker) -> None:
    """It tells values from errors, falsy or not, BaseExceptions included."""
    made, futures = promises(3)
    settled = Future.all_settled(futures)
    made[0].resolve(0)
    made[1].reject(SystemExit(1))
    made[2].reject(KeyError("k"))

    outcomes = settled.poll(waker).unwrap()

    assert [outcome.is_ok() for outcome in outcomes] == [True, False, False]
    assert outcomes[0].value == 0
    assert type(outcomes[1].error) is SystemExit
    with pytest.raises(KeyError):
        _ = outcomes[2].value
    assert repr(outcomes[0]) == "Settled(0)"
    assert "KeyError" in repr(outcomes[2])


def test_and_then_gives_both_as_a_tuple(waker: CountingWaker) -> None:
    """Side by side; the first error stands."""
    assert Future.ready(1).and_then(Future.ready("b")).poll(waker).unwrap() == (1, "b")
    failing: Future[int] = Future.from_result(KeyError())
    with pytest.raises(KeyError):
        Future.pending().and_then(failing).poll(waker)


def test_or_else_gives_whichever_is_ready_first(waker: CountingWaker) -> None:
    """The other is left alone."""
    assert Future.pending().or_else(Future.ready(2)).poll(waker).unwrap() == 2
    assert Future.ready(1).or_else(Future.pending()).poll(waker).unwrap() == 1


def test_only_children_that_woke_are_polled_again(waker: CountingWaker) -> None:
    """Joining n futures costs n polls, not n squared; 100 000 are no trouble."""
    polls = 0

    class Counted(Future[int]):
        def __init__(self, future: Future[int]) -> None:
            self.future = future

        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            nonlocal polls
            polls += 1
            return self.future.poll(waker)

    made, futures = promises(100_000)
    joined = Future.all([Counted(future) for future in futures])
    assert joined.poll(waker).is_pending()
    for index, promise in enumerate(made):
        promise.resolve(index)
        if index % 1000 == 0:
            joined.poll(waker)

    assert joined.poll(waker).unwrap() == list(range(100_000))
    assert polls == 200_000


def test_a_child_that_wakes_after_its_outcome_is_not_polled_again(waker: CountingWaker) -> None:
    """Some futures wake once too often."""
    wakers: list[Waker] = []

    class Twice(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            wakers.append(waker)
            return Poll.ready(1) if len(wakers) > 1 else Poll.pending()

    joined = Future.all([Twice(), Future.pending()])
    assert joined.poll(waker).is_pending()
    child = wakers[0]
    child.wake()
    assert child.is_woken()
    assert joined.poll(waker).is_pending()
    child.reset()
    child.clone().wake()
    assert joined.poll(waker).is_pending()
    assert len(wakers) == 2


def test_coroutines_that_lose_are_cancelled(executor: Executor) -> None:
    """Nobody else can hold them; futures are left alone, for somebody may."""
    ended: list[str] = []

    async def slow(name: str) -> None:
        try:
            await sleep(100)
        finally:
            ended.append(name)

    async def main() -> object:
        promise: Promise[int] = Promise()
        racing: list[Any] = [slow("started"), promise.future(), sleep(1).map(lambda _: 5)]
        value = await Future.race(racing)
        assert not promise.is_completed()
        racing = [Future.ready(6), slow("never started")]
        assert await Future.race(racing) == 6
        return value

    assert executor.run_until_complete(main()) == 5
    executor.run()
    assert ended == ["started"]


def test_cancel_cancels_every_open_child_once(waker: CountingWaker) -> None:
    """And whoever waits is told."""
    made, futures = promises(2)
    joined: Any = Future.all([*futures, Future.pending()])
    made[0].resolve(1)
    assert joined.poll(waker).is_pending()
    before = waker.count

    assert joined.cancel() is True
    assert joined.cancel() is False

    assert waker.count > before
    assert futures[1].cancelled()  # type: ignore[attr-defined]  # a PromiseFuture
    with pytest.raises(CancellationError):
        joined.poll(waker)


def test_a_keyboard_interrupt_during_a_poll_passes_and_loses_no_child(
    waker: CountingWaker,
) -> None:
    """It may be the user's own Ctrl-C, which has nothing to do with the child."""
    interrupts = [KeyboardInterrupt()]

    class Interrupted(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            if interrupts:
                raise interrupts.pop()
            return Poll.ready(1)

    joined = Future.all_settled([Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        joined.poll(waker)

    assert joined.poll(waker).unwrap()[0].value == 1


def test_many_wait_for_one_join() -> None:
    """Each is woken; a waker that cannot be hashed counts too."""

    class Unhashable(CountingWaker):  # type: ignore[misc]  # final, for users
        __hash__ = None  # type: ignore[assignment]  # the case

    made, futures = promises(1)
    joined = Future.all(futures)
    wakers: list[Waker] = [CountingWaker(), Unhashable(), CountingWaker()]
    for waker in wakers:
        assert joined.poll(waker).is_pending()
        assert joined.poll(waker).is_pending()

    made[0].resolve(1)
    assert joined.poll().unwrap() == [1]

    assert all(waker.count >= 1 for waker in wakers)  # type: ignore[attr-defined]  # counting


def test_two_threads_poll_and_settle_one_join_and_nothing_is_lost() -> None:
    """Whoever is busy looking does it for both."""
    for _ in range(30):
        made, futures = promises(8)
        joined = Future.all(futures)
        wakers = CountingWaker(), CountingWaker()
        for waker in wakers:
            joined.poll(waker)

        def settle(part: list[Promise[int]], waker: CountingWaker) -> None:
            for promise in part:
                promise.resolve(1)
                joined.poll(waker)

        race(lambda: settle(made[:4], wakers[0]), lambda: settle(made[4:], wakers[1]))
        assert joined.poll().unwrap() == [1] * 8


def test_a_dropped_join_is_freed() -> None:
    """It and its children's wakers refer to each other; the long-lived child may not keep it."""
    promise: Promise[int] = Promise()
    joined = Future.all([promise.future(), Future.ready(2)])
    joined.poll(CountingWaker())
    reference = weakref.ref(promise.future())
    del joined, promise
    gc.collect()

    assert reference() is None


OUTCOMES = st.lists(st.sampled_from(["value", "error", "open"]), max_size=6)


@given(OUTCOMES, st.randoms(use_true_random=False))
def test_joins_agree_with_their_definitions(outcomes: list[str], random: Any) -> None:
    """Whatever settles in whatever order, polled in between or not."""
    made, futures = promises(len(outcomes))
    waker = CountingWaker()
    joins: list[Future[Any]] = [
        Future.all(futures),
        Future.race(futures),
        Future.all_settled(futures),
    ]
    order = [index for index, outcome in enumerate(outcomes) if outcome != "open"]
    random.shuffle(order)
    for index in order:
        if random.random() < 0.5:
            for one in joins:
                look(one, waker)
        if outcomes[index] == "value":
            made[index].resolve(index)
        else:
            made[index].reject(KeyError(index))
        for one in joins:
            look(one, waker)

    complete = "open" not in outcomes
    errors = [index for index in order if outcomes[index] == "error"]
    expected = ("error", errors[0]) if errors else ("value", list(range(len(outcomes))))
    assert look(joins[0], waker) == (expected if complete or errors else None)
    first = (outcomes[order[0]], order[0]) if order else None
    assert look(joins[1], waker) == first
    assert (look(joins[2], waker) is not None) == complete


def look(future: Future[Any], waker: Waker) -> tuple[str, Any] | None:
    """Return what *future* gives now, or None."""
    try:
        polled = future.poll(waker)
    except KeyError as error:
        return "error", error.args[0]
    return ("value", polled.value) if polled.is_ready() else None


def test_joins_of_joins_are_woken_from_the_end_of_a_deep_stack() -> None:
    """Whoever settles has no frames to spare for them: a wake-up must not be lost by that."""
    promise = Promise[int]()
    future: Future[Any] = promise.future()
    for _ in range(100):
        future = Future.all([future])

    def resolve(depth: int) -> None:
        if depth:
            resolve(depth - 1)
        else:
            promise.resolve(1)

    with Executor() as executor:
        task = executor.spawn(future)
        executor.run_until_stalled()
        room = sys.getrecursionlimit() - len(inspect.stack(0))
        resolve(room - 60)
        executor.run_until_stalled()

        assert task.done()


def test_a_join_that_is_in_another_one_twice_does_not_multiply_wake_ups() -> None:
    """Or sixty levels would be two to the power of sixty wake-ups."""
    promise = Promise[int]()
    future: Future[Any] = promise.future()
    for _ in range(60):
        future = Future.race([future, future])
    waker = CountingWaker()
    assert future.poll(waker).is_pending()

    promise.resolve(1)

    assert waker.count == 2  # once for each of the two at the bottom
    assert future.poll(waker).unwrap() == 1
