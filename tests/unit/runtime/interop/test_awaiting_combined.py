"""A task that awaits jobs through a combinator is cancelled: the jobs are, by their own rules."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Poll, Promise, Waker, sleep
from runtime.testing import CountingWaker
from runtime.workers import WorkerPool
from tests.unit.runtime.gates import Gate
from tests.unit.runtime.loops import ALL_LOOPS, Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.workers import WorkerFuture

    Combine = Callable[[list[WorkerFuture[Any]]], Future[Any]]

NOOP = Waker.noop()
MANY = 5_000  # links: more than the stack allows calls


def long_chain(jobs: list[WorkerFuture[Any]]) -> Future[Any]:
    """Return a chain over the first job."""
    chain: Future[Any] = jobs[0]
    for _ in range(MANY):
        chain = chain.map(str)
    return Future.all([chain, *jobs[1:]])


def diamonds(jobs: list[WorkerFuture[Any]]) -> Future[Any]:
    """Return joins each of which has the next one twice: 2**50 ways lead to the jobs."""
    join: Future[Any] = Future.all(jobs)
    for _ in range(50):
        join = Future.all([join, join])
    return join


COMBINATORS: dict[str, Combine] = {
    "all": Future.all,
    "race": Future.race,
    "any": Future.any,
    "all_settled": Future.all_settled,
    "and_then": lambda jobs: jobs[0].and_then(jobs[1]),
    "or_else": lambda jobs: jobs[0].or_else(jobs[1]),
    "map": lambda jobs: Future.all([job.map(str) for job in jobs]),
    "flat_map": lambda jobs: Future.ready(0).flat_map(lambda _: Future.all(jobs)),
    "catch": lambda jobs: Future.all(jobs).then(str).catch(str),
    "timeout": lambda jobs: Future.timeout(Future.all(jobs), 60),
    "timeouts": lambda jobs: Future.all([Future.timeout(job.map(str), 60) for job in jobs]),
    "long chain": long_chain,
    "diamonds": diamonds,
}
ALL_COMBINATORS = pytest.mark.parametrize("combine", COMBINATORS.values(), ids=COMBINATORS)


@pytest.fixture
def gate() -> Iterator[Gate[Any]]:
    made: Gate[Any] = Gate()
    yield made
    made.open()


@pytest.fixture
def pool(gate: Gate[Any]) -> Iterator[WorkerPool]:
    with WorkerPool(2) as made:
        yield made
        gate.open()


async def wait_for(future: Future[Any]) -> Any:
    """Await *future*."""
    return await future


@ALL_LOOPS
@ALL_COMBINATORS
def test_cancelling_the_task_cancels_the_jobs_behind_it(
    loop: Loop, combine: Combine, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """As it does where the job is awaited itself."""

    async def main() -> list[bool]:
        jobs = [pool.spawn(gate), pool.spawn(gate)]
        async with loop.group() as group:
            group.start(wait_for, combine(jobs))
            await loop.turns()
            group.cancel()
        return [job.cancelled() for job in jobs]

    assert loop.run(main) == [True, True]


@ALL_LOOPS
def test_each_job_decides_for_itself(loop: Loop, pool: WorkerPool, gate: Gate[Any]) -> None:
    """One is kept, somebody else awaits the other; the combinator can be awaited again."""

    async def main() -> tuple[bool, bool, object]:
        kept = pool.spawn(gate, cancel_on_abandon=False)
        awaited = pool.spawn(gate)
        both = Future.timeout(Future.all([kept.map(str), awaited.map(str)]).map(tuple), 60)
        async with loop.group() as stay:
            stay.start(wait_for, awaited)
            async with loop.group() as leave:
                leave.start(wait_for, both)
                await loop.turns()
                leave.cancel()
            states = kept.done(), awaited.done()
            gate.open()
            return *states, await both

    assert loop.run(main) == (False, False, ("through", "through"))


@ALL_LOOPS
@ALL_COMBINATORS
def test_a_combinator_that_somebody_else_awaits_goes_on(
    loop: Loop, combine: Combine, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """Only the last one who leaves it takes the jobs along."""

    async def main() -> list[bool]:
        jobs = [pool.spawn(gate), pool.spawn(gate)]
        combined = combine(jobs)
        async with loop.group() as stay:
            stay.start(wait_for, combined)
            async with loop.group() as leave:
                leave.start(wait_for, combined)
                await loop.turns()
                leave.cancel()
            states = [job.done() for job in jobs]
            stay.cancel()
        return states

    assert loop.run(main) == [False, False]


@ALL_LOOPS
def test_an_abandoned_combinator_is_subscribed_again_by_the_next_await(loop: Loop) -> None:
    """What it waits for may be no job, and come later."""
    promises: list[Promise[str]] = [Promise(), Promise()]
    futures = [promise.future() for promise in promises]
    combined = Future.timeout(Future.all([futures[0].map(str), futures[1]]).map(tuple), 60)

    async def main() -> object:
        for _ in range(3):
            with contextlib.suppress(loop.expired):
                async with loop.limit(0.002):
                    await combined
            assert [future._waiting() for future in futures] == [[], []]
        for number, promise in enumerate(promises):
            promise.resolve(str(number))
        return await combined

    assert loop.run(main) == ("0", "1")


def test_an_abandoned_timeout_keeps_its_deadline_and_no_timer() -> None:
    """Nobody is to be told; whoever awaits it again has what is left of the time."""
    with Executor() as executor:
        late = Future.timeout(Future.pending(), 0.005)
        handle = executor.spawn(wait_for(late))
        executor.run_until_stalled()

        handle.cancel()
        executor.run_until_stalled()

        assert executor._timers.next_deadline() is None
        executor.run_until_complete(sleep(0.005))
        with pytest.raises(TimeoutError):
            executor.run_until_complete(late)


def test_what_one_raises_leaves_no_other_out(pool: WorkerPool, gate: Gate[Any]) -> None:
    """An interrupt in the first one's cancelling is raised when all have been told."""

    class Interrupted(Future[Any]):
        def poll(self, waker: Waker = NOOP) -> Poll[Any]:  # noqa: ARG002 - never woken
            return Poll.pending()

        def _abandoned(self) -> None:
            raise KeyboardInterrupt

    job = pool.spawn(gate)
    joined: Future[Any] = Future.all([Interrupted(), job.map(str)])
    waker = CountingWaker()
    assert joined.poll(waker).is_pending()
    joined._forget(waker)

    with pytest.raises(KeyboardInterrupt):
        joined._abandoned()

    assert job.cancelled()
