"""What a task of another loop waits for: woken early, twice, late, or cancelled at that moment."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Future, Poll, Promise, Waker
from tests.unit.runtime.loops import ALL_LOOPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runtime.loops import Loop

NOOP = Waker.noop()
GUARD = 10.0  # seconds that only a deadlock reaches


class Scripted(Future[int]):
    """Does at each poll what *script* says, and is ready when that is over."""

    def __init__(self, *script: Callable[[Waker], object]) -> None:
        self.script = list(script)
        self.polls = 0
        self.wakers: list[Waker] = []

    def poll(self, waker: Waker = NOOP) -> Poll[int]:
        """See `Future`."""
        self.polls += 1
        if not self.script:
            return Poll.ready(self.polls)
        self.wakers.append(waker)
        self.script.pop(0)(waker)
        return Poll.pending()


async def wait(future: Future[Any]) -> Any:  # noqa: ANN401 - of whatever type
    """Be a coroutine."""
    return await future


def here(waker: Waker) -> None:
    """Wake at once, in the loop's thread."""
    waker.wake()


def elsewhere(waker: Waker) -> None:
    """Wake from another thread, before the task waits."""
    thread = threading.Thread(target=waker.wake)
    thread.start()
    thread.join(GUARD)


def later(waker: Waker) -> None:
    """Wake from another thread, most likely when the task waits."""
    threading.Timer(0.001, waker.wake).start()


def often(waker: Waker) -> None:
    """Wake from everywhere, more than once."""
    for wake in (here, elsewhere, here, elsewhere):
        wake(waker)


def by_clone(waker: Waker) -> None:
    """Wake by a waker that somebody made of it, and then by that again."""
    clone = waker.clone()
    clone.wake()
    clone.wake()


@ALL_LOOPS
@pytest.mark.parametrize("how", [here, elsewhere, often, by_clone])
def test_a_wake_before_the_task_waits_is_kept(loop: Loop, how: Callable[[Waker], None]) -> None:
    """Nothing comes later that would wake it, and each wake is good for one look."""
    future = Scripted(how, how, how)

    assert loop.run(lambda: wait(future)) == 4


@ALL_LOOPS
def test_one_waker_serves_a_whole_await(loop: Loop) -> None:
    """A future may compare, and keep what it was given."""
    future = Scripted(here, later, elsewhere)

    assert loop.run(lambda: wait(future)) == 4
    assert len({id(waker) for waker in future.wakers}) == 1


@ALL_LOOPS
def test_a_late_wake_does_not_disturb_what_the_task_does_next(loop: Loop) -> None:
    """The task waits for something else by then; a stray callback would end that wait."""
    first, second = Scripted(here), Scripted(lambda _: None, lambda _: None)

    async def main() -> int:
        await first
        for _ in range(3):  # in the turns of the loop that come
            first.wakers[0].reset()
            first.wakers[0].wake()
            await loop.sleep(0.001)
        async with loop.group() as group:
            group.start(wait, second)
            while not second.wakers:
                await loop.sleep(0)
            for _ in range(2):
                first.wakers[0].reset()
                first.wakers[0].wake()
                second.wakers[-1].wake()
                await loop.sleep(0.001)
        return second.polls

    assert loop.run(main) == 3


@ALL_LOOPS
@pytest.mark.parametrize("wake_first", [True, False])
def test_cancelled_and_woken_in_one_turn_ends_once(loop: Loop, wake_first: bool) -> None:
    """By the loop's own rules; and the task can wait again after it."""
    promise = Promise[int]()
    future = promise.future()
    seen: list[object] = []

    async def one() -> None:
        try:
            seen.append(await future)
        except loop.cancelled():
            seen.append("cancelled")
            raise

    async def main() -> None:
        async with loop.group() as group:
            group.start(one)
            while not future._waiting():
                await loop.sleep(0)
            if wake_first:
                promise.resolve(1)
            group.cancel()
            if not wake_first:
                promise.resolve(1)

    loop.run(main)

    assert seen in (["cancelled"], [1])  # trio delivers what was there before the cancellation
    assert future._waiting() == []


def test_the_message_of_a_cancellation_arrives() -> None:
    """Programs tell by it who has cancelled them."""

    async def main() -> tuple[Any, ...]:
        promise = Promise[int]()
        task = asyncio.create_task(wait(promise.future()))
        await asyncio.sleep(0)
        assert task.cancel("for this reason")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.args

    assert asyncio.run(main(), debug=True) == ("for this reason",)


def test_a_task_that_swallows_its_cancellation_waits_again() -> None:
    """What was cancelled once must not be so for ever."""
    promise = Promise[int]()
    future = promise.future()

    async def stubborn() -> int:
        try:
            return await future
        except asyncio.CancelledError:
            return await future

    async def main() -> int:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        threading.Thread(target=promise.resolve, args=(7,)).start()
        return await task

    assert asyncio.run(main(), debug=True) == 7


def test_a_task_cancelled_before_it_waits_does_not_wait() -> None:
    """Asyncio keeps the request until the next wait, which may be woken already."""

    async def main() -> None:
        current = asyncio.current_task()
        assert current is not None
        for how in (here, lambda _: None):
            current.cancel()
            with pytest.raises(asyncio.CancelledError):
                await Scripted(how)

    asyncio.run(main(), debug=True)


def test_debuggers_may_look_at_a_task_that_waits() -> None:
    """Its representation shows what it waits for."""

    async def main() -> str:
        promise = Promise[int]()
        task = asyncio.create_task(wait(promise.future()))
        await asyncio.sleep(0)
        shown = repr(task)
        task.cancel()
        await asyncio.wait([task])
        return shown

    assert "wait_for=<" in asyncio.run(main())


@pytest.mark.slow
@ALL_LOOPS
@pytest.mark.usefixtures("eager_thread_switches")
def test_wakes_that_race_with_the_begin_of_a_wait_are_not_lost(loop: Loop) -> None:
    """Who comes second, the wake or the wait, has the task go on."""
    wakers: list[Waker] = []
    come = threading.Semaphore(0)
    over = False

    def work() -> None:
        while come.acquire(timeout=GUARD) and not over:
            wakers.pop().wake()

    def hand_over(waker: Waker) -> None:
        wakers.append(waker)
        come.release()

    async def main() -> int:
        return await Scripted(*[hand_over] * 2_000)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert loop.run(main) == 2_001
    finally:
        over = True
        come.release()
        thread.join(GUARD)
