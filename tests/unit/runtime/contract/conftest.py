"""The backends that the contract is asserted for: each test here runs once on each of them.

To add one: a line in `BACKENDS`. A test that needs more than the contract asks for says so by a
capability (`Capabilities`), never by a backend's name.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import pytest

from runtime.async_runtime import Executor
from runtime.workers import WorkerPool
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.async_runtime import UnhandledError
    from runtime.backends import Capabilities
    from runtime.workers import WorkerFuture, WorkerHandle
    from runtime.workers.pool_backends import BackendChoice

T = TypeVar("T")

BACKENDS: Final[dict[str, BackendChoice]] = {"inline": "inline", "thread": "thread", "process": "process"}


class Held(NamedTuple):
    """A job that runs until its gate is opened, whichever thread that costs."""

    handle: WorkerHandle[Any]
    gate: Gate[Any]
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
def pool(choice: BackendChoice, reports: list[UnhandledError]) -> Iterator[WorkerPool]:
    made = WorkerPool(2, backend=choice, name="the contract's pool", on_unhandled=reports.append)
    yield made
    made.shutdown(timeout=GUARD)


@pytest.fixture
def capabilities(pool: WorkerPool) -> Capabilities:
    return pool._backend.capabilities


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def hold(pool: WorkerPool) -> Iterator[Callable[..., Held]]:
    """Spawn a job that is running when this returns, also where spawn returns only after it."""
    all_held: list[Held] = []

    def start(result: object = "through", **options: Any) -> Held:  # Any: spawn's own options
        gate: Gate[Any] = Gate(result)
        futures: list[WorkerFuture[Any]] = []
        spawner = threading.Thread(
            target=lambda: futures.append(pool.spawn(gate, **options)), daemon=True
        )
        spawner.start()
        gate.wait_begun()
        handle = pool.get_active_handles()[-1]
        held = Held(handle, gate, spawner, futures)
        all_held.append(held)
        return held

    yield start
    for held in all_held:
        held.end()
