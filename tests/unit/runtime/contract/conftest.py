"""The backends that the contract is asserted for: each test here runs once on each of them.

To add one: a line in `BACKENDS`, and what its pools are to be told here in `OPTIONS`. A test that
needs more than the contract asks for says so by a capability (`Capabilities`), never by a
backend's name.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

import pytest

from runtime.async_runtime import Executor
from runtime.workers import WorkerPool
from runtime.workers.current import current_job
from runtime.workers.pool_backends import PoolOptions
from tests.unit.runtime.contract.colours import COLOUR
from tests.unit.runtime.far_gates import FarGate
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from runtime.async_runtime import UnhandledError
    from runtime.backends import Capabilities
    from runtime.workers import WorkerFuture, WorkerHandle
    from runtime.workers.pool_backends import BackendChoice

T = TypeVar("T")
AnyGate: TypeAlias = Gate[Any] | FarGate[Any]

BACKENDS: Final[dict[str, BackendChoice]] = {
    "inline": "inline",
    "thread": "thread",
    "process": "process",
}
OPTIONS: Final[dict[BackendChoice, PoolOptions]] = {
    # Jobs that should stop are only asked: it is the tests that decide when they end.
    "process": {"grace": None, "context_vars": [COLOUR]},
}


class Held(NamedTuple):
    """A job that runs until its gate is opened, whichever thread that costs."""

    handle: WorkerHandle[Any]
    gate: AnyGate
    spawner: threading.Thread
    futures: list[WorkerFuture[Any]]

    def end(self) -> None:
        """Let the function return, and wait until its spawner has the future."""
        self.gate.open()
        self.spawner.join(GUARD)
        assert self.futures, "spawn did not return"


@pytest.fixture(params=BACKENDS)
def choice(request: pytest.FixtureRequest) -> BackendChoice:
    return BACKENDS[request.param]


@pytest.fixture
def reports() -> list[UnhandledError]:
    return []


@pytest.fixture
def make_pool(choice: BackendChoice) -> Iterator[Callable[..., WorkerPool]]:
    """Make a pool on the backend under test; `pool` is one, with two workers."""
    made: list[WorkerPool] = []

    def make(max_workers: int = 2, **options: Unpack[PoolOptions]) -> WorkerPool:
        wanted = OPTIONS.get(choice, PoolOptions()) | PoolOptions(backend=choice) | options
        made.append(WorkerPool(max_workers, **wanted))
        return made[-1]

    yield make
    for one in made:
        one.shutdown(timeout=GUARD)


@pytest.fixture
def pool(make_pool: Callable[..., WorkerPool], reports: list[UnhandledError]) -> WorkerPool:
    return make_pool(name="the contract's pool", on_unhandled=reports.append)


@pytest.fixture
def capabilities(pool: WorkerPool) -> Capabilities:
    return pool._backend.capabilities


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def new_gate(capabilities: Capabilities) -> Iterator[Callable[..., AnyGate]]:
    """Make a gate that jobs on the backend under test can be held by."""
    made: list[AnyGate] = []

    def make(result: object = "through") -> AnyGate:
        gate: AnyGate = FarGate(result) if capabilities.needs_pickle else Gate(result)
        made.append(gate)
        return gate

    yield make
    for gate in made:
        gate.open()
        gate.close()


@pytest.fixture
def hold(pool: WorkerPool, new_gate: Callable[..., AnyGate]) -> Iterator[Callable[..., Held]]:
    """Spawn a job that is running when this returns, also where spawn returns only after it.

    ``job`` is called with the gate instead of the gate itself; ``on`` is where, instead of `pool`.
    """
    all_held: list[Held] = []

    def start(
        result: object = "through",
        job: Callable[[AnyGate], object] | None = None,
        on: WorkerPool = pool,
        **options: Any,  # Any: spawn's own options
    ) -> Held:
        gate = new_gate(result)
        func = gate if job is None else functools.partial(job, gate)
        futures: list[WorkerFuture[Any]] = []
        jobs: list[WorkerFuture[Any]] = []

        def noted() -> object:
            jobs.append(current_job()._job)
            return func()

        far = on._backend.capabilities.needs_pickle
        on.warm_up(GUARD)  # limits that count from the spawn are for the job alone
        spawner = threading.Thread(
            target=lambda: futures.append(on.spawn(func if far else noted, **options)), daemon=True
        )
        spawner.start()
        gate.wait_begun()
        if far:  # and so spawn returns before its function does
            spawner.join(GUARD)
        (held_job,) = futures if far else jobs
        held = Held(held_job.handle, gate, spawner, futures)
        all_held.append(held)
        return held

    yield start
    for held in all_held:
        held.end()
    pool.wait_idle(GUARD)  # a gate is closed when nobody is in it any more
