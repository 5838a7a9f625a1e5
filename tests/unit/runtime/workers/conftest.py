"""Fixtures for the tests of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor
from runtime.testing import ManualClock, ScriptedBackend
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.async_runtime import UnhandledError


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=100.0)


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


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
