"""Fixtures for the tests of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor
from runtime.testing import ManualClock, ScriptedBackend
from runtime.workers import WorkerPool
from tests.unit.runtime.far_gates import FarGate
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.scripted_here import end_scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from runtime.async_runtime import UnhandledError
    from runtime.workers.pool_backends import PoolOptions


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=100.0)


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    made = ScriptedBackend()
    yield made
    end_scripted(made)


@pytest.fixture
def reports() -> list[UnhandledError]:
    return []


@pytest.fixture
def scripted(
    backend: ScriptedBackend, clock: ManualClock, reports: list[UnhandledError]
) -> WorkerPool:
    """A pool whose jobs run when the test says so, on a clock that the test moves."""
    return WorkerPool(2, backend=backend.attach, clock=clock, on_unhandled=reports.append)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, name="the test's pool") as made:
        yield made


@pytest.fixture
def new_processes() -> Iterator[Callable[..., WorkerPool]]:
    """Make a pool of processes."""
    made: list[WorkerPool] = []

    def make(max_workers: int = 1, **options: Unpack[PoolOptions]) -> WorkerPool:
        options.setdefault("name", "the test's processes")
        options["backend"] = "process"
        made.append(WorkerPool(max_workers, **options))
        return made[-1]

    yield make
    for pool in made:
        assert pool.shutdown(cancel_pending=True, timeout=GUARD), "children stay"


@pytest.fixture
def processes(
    new_processes: Callable[..., WorkerPool], reports: list[UnhandledError]
) -> WorkerPool:
    """A pool of one child; what should stop is only asked."""
    return new_processes(grace=None, on_unhandled=reports.append)


@pytest.fixture
def far_gate() -> Iterator[Callable[..., FarGate[Any]]]:
    """Make a gate for jobs in other processes; all are opened in the end."""
    made: list[FarGate[Any]] = []

    def make(result: object = "through") -> FarGate[Any]:
        made.append(FarGate(result))
        return made[-1]

    yield make
    for gate in made:
        gate.close()  # whoever still waits there finds nobody at the other end
