"""A look into a pool on threads, for tests that decide what happens between its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.backends.thread import ThreadBackend
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.crew import Crew
    from runtime.workers import WorkerPool

__all__ = ("backend_of", "crew_of", "wait_until", "wait_until_back")


def backend_of(pool: WorkerPool) -> ThreadBackend:
    """Return the backend of *pool*."""
    backend = pool._backend
    assert isinstance(backend, ThreadBackend)
    return backend


def crew_of(pool: WorkerPool) -> Crew:
    """Return the threads of *pool*."""
    return backend_of(pool)._crew


def wait_until(pool: WorkerPool, condition: Callable[[], bool]) -> None:
    """Wait for what the pool tells those who watch it: slots that sleep, leave, come back."""
    assert crew_of(pool).watchers.wait(condition, GUARD), pool.statistics()


def wait_until_back(pool: WorkerPool) -> None:
    """Wait until all slots sleep, those included whose job was abandoned."""
    crew = crew_of(pool)
    wait_until(pool, lambda: all(not slot.jobs() for slot in crew.slots))
