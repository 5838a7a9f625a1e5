"""Pools that nobody holds, and blocks that are left for good."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, Literal

import pytest

from runtime.async_runtime import block_on
from runtime.testing import ScriptedBackend
from runtime.workers import WorkerPool, lifetime
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import UnhandledError
    from runtime.backends.base import Backend
    from runtime.workers import WorkerFuture
    from tests.unit.runtime.far_gates import FarGate

pytestmark = pytest.mark.process


def orphans() -> list[Backend]:
    """Return the backends of dropped pools that are known still."""
    return [orphan.backend for orphan in lifetime._orphans]


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_dropped_pool_is_known_until_its_workers_have_left(
    far_gate: Callable[..., FarGate[Any]], backend: Literal["thread", "process"]
) -> None:
    """Exit and fork must see its jobs, and nothing of it may stay when they are over."""
    gate = far_gate()
    pool = WorkerPool(1, backend=backend)
    job, gone, left = pool.spawn(gate), weakref.ref(pool), pool._backend
    gate.wait_begun()

    del pool
    gc.collect()

    assert gone() is None
    assert left in orphans()
    gate.open()
    assert job.result(GUARD) == "through"
    assert left.join(GUARD)
    watchers = left._fleet.watchers if backend == "process" else left._crew.watchers  # type: ignore[attr-defined]  # of these
    assert watchers.wait(lambda: left not in orphans(), GUARD)


@pytest.mark.parametrize("backend", ["thread", "process", "inline"])
def test_a_dropped_pool_without_workers_is_forgotten_at_once(
    backend: Literal["thread", "process", "inline"],
) -> None:
    """There is nothing to see to."""
    pool = WorkerPool(1, backend=backend)
    left = pool._backend

    del pool
    gc.collect()

    assert left not in orphans()


def test_a_backend_that_does_not_tell_its_end_is_asked_when_the_next_pool_is_made() -> None:
    """One that somebody has written need not know of this."""
    backend = ScriptedBackend()
    pool = WorkerPool(1, backend=backend.attach)
    job = pool.spawn(nothing)
    del pool
    gc.collect()
    assert backend in orphans()
    backend.run_all()

    WorkerPool(1)

    assert job.done()
    assert backend not in orphans()


class _Service:
    """As people write it: the pool knows its owner, by a hook."""

    def __init__(self) -> None:
        self.pool = WorkerPool(1, on_unhandled=self.note)

    def note(self, report: UnhandledError) -> None:
        """Be told."""


def test_a_pool_whose_hook_leads_back_to_it_is_collected() -> None:
    """What exit knows of pools must not hold it."""
    service = _Service()
    service.pool.spawn(nothing).result(GUARD)
    gone = weakref.ref(service)

    del service
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_block_that_is_left_for_good_does_not_wait_for_what_runs(
    far_gate: Callable[..., FarGate[Any]], error: type[BaseException], is_async: bool
) -> None:
    """The first Ctrl-C is answered: jobs that can be killed are."""
    gate = far_gate()
    jobs: list[WorkerFuture[Any]] = []
    pool = WorkerPool(1, backend="process", grace=0)

    def leave() -> None:
        jobs.extend(pool.spawn(gate) for _ in range(2))
        gate.wait_begun()
        raise error

    async def enter() -> None:
        async with pool:
            leave()

    def run() -> None:
        if is_async:
            block_on(enter())
        with pool:
            leave()

    with pytest.raises(error):
        run()

    assert [job.cancelled() for job in jobs] == [True, True]
    assert pool.shutdown(timeout=GUARD)


def test_a_block_that_fails_still_waits_for_what_runs(
    far_gate: Callable[..., FarGate[Any]],
) -> None:
    """An error of the block is no reason to kill anything."""
    gate = far_gate()
    jobs: list[WorkerFuture[Any]] = []

    def fail() -> None:
        with WorkerPool(1, backend="process", grace=0) as pool:
            jobs.append(pool.spawn(gate))
            gate.wait_begun()
            gate.open()
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        fail()

    assert jobs[0].result(0) == "through"
