"""Somebody else's loop inside of a task of ours: the innermost loop is the one that waits."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from runtime.async_runtime import Executor, Future, Poll, Promise, Waker
from runtime.workers import Outcome, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

NOOP = Waker.noop()
GUARD = 10.0  # seconds that only a deadlock reaches


def run_asyncio(main: Callable[[], Coroutine[Any, Any, T]]) -> T:  # Any: what a loop passes
    """Run *main* in debug mode, which complains about every call from a wrong thread."""
    return asyncio.run(main(), debug=True)


def run_trio(main: Callable[[], Coroutine[Any, Any, T]]) -> T:  # Any: as above
    """Run *main* under trio, where that is installed."""
    return cast("T", pytest.importorskip("trio").run(main))


LOOPS = pytest.mark.parametrize("run", [run_asyncio, run_trio], ids=["asyncio", "trio"])


def in_a_task(run: Callable[..., T], main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Let a task of ours run the other loop."""

    async def outer() -> T:
        return run(main)

    with Executor() as executor:
        return executor.run_until_complete(outer())


class Settled(Future[str]):
    """A future with nothing but ``poll``: settled by another thread when first polled."""

    def __init__(self) -> None:
        self.promise: Promise[str] = Promise()
        self.started = False

    def poll(self, waker: Waker = NOOP) -> Poll[str]:
        """Start the thread the first time."""
        polled = self.promise.future().poll(waker)
        if not self.started:
            self.started = True
            threading.Thread(target=self.promise.resolve, args=("there",)).start()
        return polled


@LOOPS
def test_futures_of_every_kind_can_be_awaited(run: Callable[..., Any]) -> None:
    """It used to end as the other loop's complaint about what our future yields."""
    opened = threading.Event()
    own = Executor()  # driven by another thread

    async def main() -> list[str]:
        with WorkerPool(1) as pool:
            job = pool.spawn(lambda: str(opened.wait(GUARD)))
            promise: Promise[str] = Promise()
            task = own.spawn(promise.future())
            driver = threading.Thread(target=own.run)
            threading.Timer(0, opened.set).start()
            got = [await job, await Settled()]
            threading.Timer(0, promise.resolve, ("settled",)).start()
            got.append(await promise.future())
            driver.start()
            got.append(await task)
            driver.join(GUARD)
        return got

    assert in_a_task(run, main) == ["True", "there", "settled", "settled"]
    own.close()


def test_cancelling_there_cancels_the_job() -> None:
    """The complaint of the other loop is no loss of interest; a cancellation is."""

    async def main() -> Outcome | None:
        opened = threading.Event()
        with WorkerPool(1) as pool:
            running = pool.spawn(lambda: opened.wait(GUARD))
            job = pool.spawn(opened.wait)  # queued

            async def wait() -> None:
                await job

            waiting = asyncio.ensure_future(wait())
            for _ in range(3):  # until it waits in earnest
                await asyncio.sleep(0)
            assert not job.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            opened.set()
            assert await running
        return job.outcome

    assert in_a_task(run_asyncio, main) is Outcome.NEVER_RAN


def test_our_own_loop_inside_of_the_other_waits_itself() -> None:
    """Three deep: ours, asyncio, and one more of ours in there."""

    async def innermost() -> int:
        promise: Promise[int] = Promise()
        threading.Timer(0, promise.resolve, (42,)).start()
        return await promise.future()

    async def inner() -> int:
        with Executor() as executor:
            return executor.run_until_complete(innermost())

    assert in_a_task(run_asyncio, inner) == 42


def test_an_error_of_the_same_words_is_no_complaint() -> None:
    """Where no other loop runs here, nobody but the user can have raised it."""

    class Odd(Future[int]):
        def poll(self, waker: Waker = NOOP) -> Poll[int]:  # noqa: ARG002 - as in the base class
            raise TypeError(f"what is {Poll.pending()!r}?")

    async def main() -> int:
        return await Odd()

    with Executor() as executor, pytest.raises(TypeError, match="what is"):
        executor.run_until_complete(main())
