"""A million spawns with random ends: every job has exactly one outcome, and nothing is left."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import collections
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from runtime.errors import CancellationError, WorkerTimeoutError
from runtime.testing import race
from runtime.workers import Worker, WorkerPool
from runtime.workers.handle_state import Outcome
from tests.unit.runtime.backends.inside import crew_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.workers.job import WorkerFuture

pytestmark = pytest.mark.stress

SPAWNS: Final = int(os.environ.get("STRESS_SPAWNS", "1000000"))
SPAWNERS: Final = 8
WINDOW: Final = 200  # how many jobs a spawner has on the way
LIMIT: Final = 900.0  # seconds that only a hang takes


@pytest.fixture
def seed() -> int:
    """What this run's choices come from; ``STRESS_SEED`` repeats one."""
    return int(os.environ.get("STRESS_SEED", random.SystemRandom().randrange(2**32)))


@pytest.fixture
def swift_switches() -> Iterator[None]:
    """Let threads change places as often as the interpreter allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class _MadeToFailError(Exception):
    """What jobs of this test fail with."""


class _Spawner:
    """One thread's part: spawns, treats each job in a random way, and looks at what came of it."""

    def __init__(self, pool: WorkerPool, seed: int, count: int) -> None:
        self._pool = pool
        self._random = random.Random(seed)
        self._count = count
        self.ran = collections.Counter[int]()  # how often each job's function was called
        self.seen: collections.Counter[str] = collections.Counter()

    def __call__(self) -> None:
        window: collections.deque[tuple[int, WorkerFuture[int]]] = collections.deque()
        for number in range(self._count):
            window.append((number, self._spawn(number)))
            if self._random.random() < 0.1:
                self._random.choice(window)[1].cancel()
            if len(window) > WINDOW:
                self._look(*window.popleft())
        for number, job in window:
            self._look(number, job)

    def _spawn(self, number: int) -> WorkerFuture[int]:
        way = self._random.random()
        work = self._work
        if way < 0.1:
            return self._pool.spawn(self._fail, args=(number,))
        if way < 0.15:
            limit = self._random.choice((0.0, 0.0001, 0.001, 100.0))
            return self._pool.spawn(work, limit, args=(number,))
        if way < 0.17:
            return self._pool.spawn(work, args=(number,), run_timeout=0.001)
        if way < 0.18:
            return self._pool.spawn(self._nest, args=(number,))
        if way < 0.19:
            return self._pool.spawn(self._poll, 0.002, args=(number,))
        return self._pool.spawn(work, args=(number,))

    def _work(self, number: int) -> int:
        self.ran[number] += 1
        return number

    def _fail(self, number: int) -> int:
        self.ran[number] += 1
        raise _MadeToFailError(number)

    def _nest(self, number: int) -> int:
        self.ran[number] += 1
        return self._pool.spawn(lambda: number).result()

    def _poll(self, number: int) -> int:
        self.ran[number] += 1
        while True:
            Worker.current().check()

    def _look(self, number: int, job: WorkerFuture[int]) -> None:
        """Check that the outcome is one of those allowed, and that it stays."""
        try:
            assert job.result(LIMIT) == number
            kind = "value"
        except _MadeToFailError as error:
            assert error.args == (number,)  # noqa: PT017 - one of several allowed outcomes
            kind = "error"
        except CancellationError:
            kind = "cancelled"
        except WorkerTimeoutError:
            kind = "timeout"
        assert not job.cancel()
        outcome = job.handle.outcome
        assert outcome is not None
        calls = self.ran.pop(number, 0)
        assert calls <= 1, f"job {number} ran {calls} times"
        if outcome is Outcome.NEVER_RAN:
            assert calls == 0, f"job {number} ran although it never did"
        if kind in {"value", "error"}:
            assert outcome is Outcome.FINISHED
            assert calls == 1
        self.seen[kind] += 1


@pytest.mark.usefixtures("swift_switches")
def test_a_million_spawns_have_one_outcome_each(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight spawners, four workers, cancels, limits, failures and nested waits in between."""
    pool = WorkerPool(4)
    spawners = [_Spawner(pool, seed + index, SPAWNS // SPAWNERS) for index in range(SPAWNERS)]
    begin = time.monotonic()
    with capsys.disabled():
        print(f"\nseed {seed}: {SPAWNS} spawns ...", flush=True)  # noqa: T201 - to repeat it

    race(*spawners, timeout=LIMIT)
    took = time.monotonic() - begin

    assert pool.wait_idle(60)
    crew = crew_of(pool)
    wait_until(pool, lambda: crew.abandoned == 0 and len(crew.idle) == crew.alive)
    statistics = pool.statistics()
    seen = sum((spawner.seen for spawner in spawners), collections.Counter[str]())
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this run is for
            f"{SPAWNS / took:,.0f} spawns/s, {took:.0f} s: {dict(seen)}; "
            f"{statistics.workers} workers at the end",
            flush=True,
        )
    assert seen.total() == SPAWNS // SPAWNERS * SPAWNERS
    assert statistics.done >= seen.total()  # the nested ones come on top
    assert statistics.cancelled >= seen["cancelled"]
    assert (statistics.queued, statistics.running, crew.lent) == (0, 0, 0)
    assert statistics.workers <= 4 + 64 + 32
    assert not any(spawner.ran for spawner in spawners) or _late_runs(spawners) == 0
    assert pool.shutdown(timeout=60)


def _late_runs(spawners: list[_Spawner]) -> int:
    """Return how many functions were called twice, those included that ran on unwanted."""
    return sum(calls > 1 for spawner in spawners for calls in spawner.ran.values())
