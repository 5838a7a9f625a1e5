"""Awaiting a future of ours in somebody else's loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from runtime.async_runtime import Future, Poll, Promise, Waker, sleep
from runtime.async_runtime.foreign import await_elsewhere
from runtime.errors import BrokenPromiseError, InvalidPollError, InvalidStateError
from runtime.workers import Outcome, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

with contextlib.suppress(ImportError):  # here, so that no test is charged with what it loads
    importlib.import_module("trio")

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


def fail() -> None:
    """Fail as a job would."""
    raise KeyError("missing")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as pool:
        yield pool


@LOOPS
def test_a_job_can_be_awaited(run: Callable[..., Any], pool: WorkerPool) -> None:
    """The value comes, and an error comes as itself."""

    async def main() -> tuple[int, str]:
        value = await pool.spawn(lambda: 6 * 7)
        try:
            await pool.spawn(fail)
        except KeyError as error:
            return value, str(error)
        raise AssertionError("no error came")

    assert run(main) == (42, "'missing'")


@LOOPS
def test_a_settled_future_needs_no_wait(run: Callable[..., Any]) -> None:
    """Nothing is scheduled for what is there."""

    async def main() -> int:
        return await Promise.resolved(1).future() + await Future.ready(2)

    assert run(main) == 3


@LOOPS
def test_many_waits_at_once_are_all_woken(run: Callable[..., Any], pool: WorkerPool) -> None:
    """Each wait has a waker of its own."""

    async def main() -> list[int]:
        jobs = [pool.spawn(lambda n=n: n * n) for n in range(200)]
        return [await job for job in jobs]

    assert run(main) == [n * n for n in range(200)]


@LOOPS
def test_a_dropped_promise_is_told_there_too(run: Callable[..., Any]) -> None:
    """Nobody waits for ever, in no loop."""

    async def main() -> str:
        try:
            await Promise[int]().future()
        except BrokenPromiseError:
            return "broken"
        return "value"

    assert run(main) == "broken"


@LOOPS
def test_a_future_with_poll_alone_is_polled_after_each_wake(run: Callable[..., Any]) -> None:
    """A guest language's future needs nothing more in another loop."""

    class Countdown(Future[str]):
        left = 3

        def poll(self, waker: Waker = NOOP) -> Poll[str]:
            self.left -= 1
            if not self.left:
                return Poll.ready("done")
            threading.Thread(target=waker.wake).start()
            return Poll.pending()

    async def main() -> str:
        return await Countdown()

    assert run(main) == "done"


@LOOPS
@pytest.mark.parametrize("wakes", [0, 1], ids=["at once", "after a wake"])
def test_a_poll_that_gives_no_poll_is_told_as_at_home(run: Callable[..., Any], wakes: int) -> None:
    """The error says what it gave, and what to return instead."""

    class Wrong(Future[int]):
        left = wakes

        def poll(self, waker: Waker = NOOP) -> Poll[int]:
            if self.left:
                self.left -= 1
                waker.wake()
                return Poll.pending()
            return 3  # type: ignore[return-value]  # the subject

    async def main() -> None:
        with pytest.raises(InvalidPollError, match=r"gave 3 \(int\): return Poll"):
            await Wrong()

    run(main)


def test_cancelling_the_task_of_asyncio_cancels_the_job(pool: WorkerPool) -> None:
    """The loop's own kind of cancellation goes up; the job learns that nobody waits."""
    started, release = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(GUARD)

    async def main() -> None:
        job = pool.spawn(work)

        async def wait() -> None:
            await job

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)  # it waits now: the thread may answer without a turn of the loop
        await asyncio.to_thread(started.wait, GUARD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert job.cancelled()
        assert job.handle.outcome is Outcome.ABANDONED
        release.set()

    run_asyncio(main)


def test_a_cancel_scope_of_trio_cancels_the_job(pool: WorkerPool) -> None:
    """As with asyncio, by trio's rules."""
    trio = pytest.importorskip("trio")
    release = threading.Event()

    async def main() -> None:
        job = pool.spawn(release.wait, args=(GUARD,))
        with trio.move_on_after(0) as scope:
            await job

        assert scope.cancelled_caught
        assert job.cancelled()
        release.set()

    trio.run(main)


def test_a_loop_that_is_closed_meanwhile_is_not_told(pool: WorkerPool) -> None:
    """A late answer of a worker finds no loop: nothing is raised into the worker."""
    release = threading.Event()
    job = pool.spawn(release.wait, args=(GUARD,), cancel_on_abandon=False)
    loop = asyncio.new_event_loop()
    task = loop.create_task(wait_for(job))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()

    release.set()

    assert job.result(GUARD) is True


async def wait_for(future: Future[T]) -> T:
    """Await *future*."""
    return await future


def test_outside_of_every_loop_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither loop running, nor even imported."""
    monkeypatch.delitem(sys.modules, "trio", raising=False)

    with pytest.raises(InvalidStateError, match="nor does asyncio or trio"):
        next(await_elsewhere(Promise[int]().future()))


def test_a_sleep_of_ours_ends_in_another_loop() -> None:
    """Its timer is then the process's, which no executor has to drive."""

    async def main() -> None:
        await sleep(0.001)

    run_asyncio(main)
