"""Fixtures for what pools of processes must survive."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from runtime.workers import WorkerPool
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Complaints(logging.Handler):
    """Keeps what the package says only of its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "goes on after an error" in record.getMessage():
            self.found.append(logging.Formatter().format(record))


@pytest.fixture(autouse=True)
def no_mistake_is_logged() -> Iterator[None]:
    """Fail the test in which the collector or the loader had to survive an error of ours."""
    handler = _Complaints()
    logger = logging.getLogger("runtime")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    assert not handler.found, "\n".join(handler.found)


@pytest.fixture
def make_pool() -> Iterator[Callable[..., WorkerPool]]:
    """Make a pool of processes; each must shut down in time at the end."""
    made: list[WorkerPool] = []

    def make(max_workers: int = 1, **options: Any) -> WorkerPool:  # Any: the pool's own options
        defaults: dict[str, Any] = {"grace": 0.05, "on_unhandled": lambda _: None}  # Any: as above
        pool = WorkerPool(max_workers, backend="process", **(defaults | options))
        made.append(pool)
        return pool

    yield make
    for pool in made:
        assert pool.shutdown(timeout=GUARD), pool.statistics()


@pytest.fixture
def pool(make_pool: Callable[..., WorkerPool]) -> WorkerPool:
    """A pool of one process."""
    return make_pool(1)
