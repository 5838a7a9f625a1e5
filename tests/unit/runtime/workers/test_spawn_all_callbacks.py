"""`Worker.spawn_all` with callbacks that raise what no callback is protected from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import nothing

if TYPE_CHECKING:
    from runtime.testing import ScriptedBackend


def _exit(_: object) -> None:
    raise SystemExit(3)


def _fail() -> NoReturn:
    raise ValueError("the member failed")


def test_a_members_callback_that_raises_keeps_neither_the_outcome_nor_the_cancelling_back(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Who waits for the whole would wait for ever, and the siblings would run on for nobody."""
    funcs: list[Any] = [nothing, nothing, _fail]
    group = Worker.spawn_all(funcs, pool=scripted)
    group.futures[0].add_done_callback(_exit)

    backend.run(group.futures[2])

    assert group.futures[1].cancelled()
    with pytest.raises(ValueError, match="the member failed"):
        group.result(0)


def test_cancelling_reaches_all_members_whatever_the_groups_own_callback_raises(
    scripted: WorkerPool,
) -> None:
    """The group is cancelled for all the world then: nobody would do it again."""
    group = Worker.spawn_all([nothing, nothing], pool=scripted)
    group.add_done_callback(_exit)

    with pytest.raises(SystemExit):
        group.cancel()

    assert group.cancelled()
    assert all(job.cancelled() for job in group.futures)
