"""A loop of asyncio in our executor: one thread serves both."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Promise, TaskState, sleep, timeout, yield_now
from runtime.errors import CancellationError
from runtime.interop.guest import attach
from runtime.interop.hosting import HostedLoop, _Driver
from runtime.interop.hosts import BareHost
from runtime.workers import WorkerPool
from tests.unit.runtime.interop.host_loops import GUARD, PlainLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def hosted(executor: Executor) -> Iterator[HostedLoop]:
    with HostedLoop(executor) as made:
        made.loop.set_debug(True)  # complains about calls from a wrong thread
        yield made


def test_work_of_asyncio_runs_in_the_thread_of_our_tasks(
    executor: Executor, hosted: HostedLoop
) -> None:
    """Its timers, its tasks, and futures of ours that are awaited over there."""
    promise: Promise[str] = Promise()

    async def theirs() -> tuple[str, int]:
        await asyncio.sleep(0.001)
        inner = asyncio.create_task(asyncio.sleep(0, "inner"))
        with WorkerPool(1) as pool:
            words = [await inner, await promise.future(), await pool.spawn(str, args=("worker",))]
        return " ".join(words), threading.get_ident()

    async def ours() -> tuple[str, int]:
        work = hosted.run(theirs())
        await sleep(0.005)
        promise.resolve("ours")
        return await work

    assert executor.run_until_complete(ours(), GUARD) == (
        "inner ours worker",
        threading.get_ident(),
    )


def test_sockets_of_asyncio_are_served(executor: Executor, hosted: HostedLoop) -> None:
    """By a stream server over there, while a task of ours counts."""
    beats: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def theirs() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"echo\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return line

    async def beat() -> None:
        while True:
            beats.append(1)
            await sleep(0.0005)

    async def ours() -> bytes:
        beating = executor.spawn(beat())
        line = await hosted.run(theirs())
        beating.cancel()
        return line

    assert executor.run_until_complete(ours(), GUARD) == b"echo\n"
    assert beats


def test_calls_between_its_turns_are_heard(executor: Executor, hosted: HostedLoop) -> None:
    """Soon, later, and from another thread: our loop sleeps, and wakes up for each."""
    called: list[str] = []

    async def ours() -> None:
        for name in ("soon", "later", "threadsafe"):
            await sleep(0.002)  # both loops are at rest
            promise: Promise[None] = Promise()

            def call(name: str = name, promise: Promise[None] = promise) -> None:
                called.append(name)
                promise.resolve(None)

            if name == "soon":
                hosted.loop.call_soon(call)
            elif name == "later":
                hosted.loop.call_later(0.001, call)
            else:
                threading.Thread(target=hosted.loop.call_soon_threadsafe, args=(call,)).start()
            await promise.future()

    executor.run_until_complete(ours(), GUARD)

    assert called == ["soon", "later", "threadsafe"]


def test_an_idle_loop_has_no_turns(
    executor: Executor, hosted: HostedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is driven when there is something to do, and sleeps with ours otherwise."""
    turns: list[object] = []
    real = _Driver.poll

    def count(self: _Driver, waker: Any) -> Any:
        turns.append(self)
        return real(self, waker)

    monkeypatch.setattr(_Driver, "poll", count)

    executor.run_until_complete(hosted.run(asyncio.sleep(0.05)), GUARD)
    at_work = len(turns)
    executor.run_until_complete(sleep(0.05), GUARD)

    assert at_work < 10
    assert len(turns) - at_work <= 2


def test_a_busy_loop_leaves_our_tasks_their_turns(executor: Executor, hosted: HostedLoop) -> None:
    """However much is ready over there; and the other way round."""

    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    async def ours() -> None:
        work = hosted.run(busy())
        for _ in range(50):
            await yield_now()
        await sleep(0.001)
        assert not work.done()
        work.cancel()
        mine = executor.spawn(spin())
        await hosted.run(asyncio.sleep(0.001))
        mine.cancel()

    async def spin() -> None:
        while True:
            await yield_now()

    executor.run_until_complete(ours(), GUARD)


def test_cancelling_goes_both_ways(executor: Executor, hosted: HostedLoop) -> None:
    """A limit of ours cancels the task over there; one that is cancelled there is an error here."""
    seen: list[str] = []

    async def theirs() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def gives_up() -> None:
        raise asyncio.CancelledError

    async def ours() -> None:
        with pytest.raises(TimeoutError):
            async with timeout(0.001):
                await hosted.run(theirs())
        with pytest.raises(CancellationError):
            await hosted.run(gives_up())

    executor.run_until_complete(ours(), GUARD)

    assert seen == ["cancelled"]


def test_an_interrupt_over_there_leaves_our_run_and_both_loops_go_on(
    executor: Executor, hosted: HostedLoop
) -> None:
    """As an interrupt in a task of ours does."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    hosted.loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        executor.run_until_complete(sleep(GUARD), GUARD)

    assert executor.run_until_complete(hosted.run(asyncio.sleep(0, "on")), GUARD) == "on"


def test_closing_cancels_what_is_left_and_lets_it_clean_up(executor: Executor) -> None:
    """As at the end of ``asyncio.run``."""
    cleaned: list[str] = []

    async def lasting() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            cleaned.append("cleaned")

    async def main() -> None:
        async with HostedLoop(executor) as hosted:
            hosted.run(lasting())
            await sleep(0.002)
        await hosted.aclose()
        hosted.close()

    task = executor.spawn(main())
    executor.run_until_complete(task, GUARD)
    assert cleaned == ["cleaned"]
    assert task.state is TaskState.COMPLETED
    assert executor.active_tasks() == 0


def test_a_thread_that_runs_asyncio_already_is_told_what_to_do() -> None:
    """Two loops of asyncio cannot share a thread; ours can be its guest."""

    async def main() -> None:
        with Executor() as executor, pytest.raises(RuntimeError, match="attach"):
            HostedLoop(executor)

    asyncio.run(main())


def test_a_guest_can_host_asyncio() -> None:
    """Three loops, one thread: a bare host, our executor in it, and asyncio in that."""
    loop = PlainLoop()

    async def theirs() -> int:
        await asyncio.sleep(0.001)
        with WorkerPool(1) as pool:
            return await pool.spawn(threading.get_ident) - threading.get_ident()

    with attach(BareHost(loop.call_soon, loop.call_later)) as guest:

        async def main() -> int:
            async with HostedLoop(guest.executor) as hosted:
                return await hosted.run(theirs())

        task = guest.spawn(main())
        loop.run_until(task.is_completed)

        assert task.result() != 0
