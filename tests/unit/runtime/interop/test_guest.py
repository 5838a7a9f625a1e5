"""Our executor as a guest: one program, every host."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    Promise,
    TaskGroup,
    current_executor,
    sleep,
    timeout,
    wait_readable,
    yield_now,
)
from runtime.errors import WouldBlockError
from runtime.testing import ManualClock
from runtime.workers import WorkerPool
from tests.unit.runtime.interop.host_loops import GUARD, HARNESSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.async_runtime import TaskHandle
    from runtime.interop.guest import Guest

HOSTS = pytest.mark.parametrize("run", HARNESSES.values(), ids=HARNESSES.keys())


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as made:
        yield made


async def traced(trace: list[str], clock: ManualClock) -> list[str]:
    """Do a bit of everything that leaves a trace, in an order that the loop decides."""

    async def step(name: str, seconds: float) -> str:
        trace.append(f"{clock.now():g} {name} begins")
        for _ in range(3):
            await yield_now()
        await sleep(seconds)
        trace.append(f"{clock.now():g} {name} ends")
        return name

    promise: Promise[str] = Promise()

    async def settle() -> None:
        await sleep(2.5)
        promise.resolve("settled")

    async with TaskGroup() as group:
        for number in range(4):
            group.spawn(step(f"task {number}", 3 - number))
        group.spawn(settle())
        trace.append(await promise.future())
    try:
        async with timeout(10):
            await sleep(3600)
    except TimeoutError:
        trace.append(f"{clock.now():g} expired")
    return trace


@pytest.mark.parametrize("order", ["fifo", 7])
@HOSTS
def test_a_program_gives_the_same_trace_under_every_host(
    run: Callable[..., Any], order: str | int
) -> None:
    """And as in our own loop: turns, timers and the order of tasks are the executor's."""
    clock = ManualClock(auto_advance=True)
    with Executor(clock=clock, order=order) as executor:  # type: ignore[arg-type]  # "fifo" or a seed
        expected = executor.run_until_complete(traced([], clock))
    assert len(expected) == 10

    clock = ManualClock(auto_advance=True)
    got = run(lambda guest: guest.spawn(traced([], clock)), clock=clock, order=order)

    assert got == expected


@HOSTS
def test_workers_and_time_wake_the_host(run: Callable[..., Any], pool: WorkerPool) -> None:
    """From other threads, and by its own timer, many times in a row."""

    async def main() -> int:
        total = 0
        for number in range(50):
            total += await pool.spawn(lambda n=number: n)
        await sleep(0.002)
        async with timeout(GUARD):
            return total + await pool.spawn(lambda: 1)

    assert run(lambda guest: guest.spawn(main())) == sum(range(50)) + 1


@HOSTS
def test_a_descriptor_wakes_the_host(run: Callable[..., Any]) -> None:
    """Watched by the host where it can, by a lent thread where it cannot."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main() -> bytes:
        got = b""
        for number in range(5):
            executor = current_executor()
            assert executor is not None
            executor.spawn(send(number))
            await wait_readable(ours)
            got += ours.recv(9)
        await sleep(0.001)
        return got

    async def send(number: int) -> None:
        await sleep(0.001)
        theirs.send(b"%d" % number)

    with ours, theirs:
        assert run(lambda guest: guest.spawn(main())) == b"01234"


@HOSTS
def test_a_busy_guest_lets_its_host_have_turns(run: Callable[..., Any]) -> None:
    """A budget for each turn: the host comes in between, however much is ready."""
    turns: list[int] = []

    def program(guest: Guest) -> TaskHandle[None]:
        polls = 0

        def look() -> None:
            turns.append(polls)

        async def main() -> None:
            nonlocal polls
            guest._host.call_soon_threadsafe(look)
            while not turns:
                polls += 1
                await yield_now()

        return guest.spawn(main())

    run(program, max_polls=100)

    assert 0 < turns[0] <= 200


@HOSTS
def test_the_hosts_thread_is_never_put_to_sleep(run: Callable[..., Any]) -> None:
    """A run inside of a task that would have to wait says so."""

    async def main() -> str:
        executor = current_executor()
        assert executor is not None
        with pytest.raises(WouldBlockError):
            executor.run_until_complete(sleep(1))
        return "told"

    assert run(lambda guest: guest.spawn(main())) == "told"


@HOSTS
def test_spawning_from_another_thread_wakes_the_host(
    run: Callable[..., Any], pool: WorkerPool
) -> None:
    """The first task may come long after the host went to sleep."""

    def program(guest: Guest) -> TaskHandle[int]:
        answer: Promise[int] = Promise()

        async def late() -> None:
            answer.resolve(7)

        pool.spawn(lambda: guest.spawn(late()))
        return guest.spawn(answer.future())

    assert run(program) == 7
