"""Ctrl-C in the middle of a spawn into processes, at each step of giving the job away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import child, fleet
from tests.unit.runtime.faults.process_jobs import double
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interrupts import AtBytecode, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from runtime.workers import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.slow]


def _is_giving(frame: FrameType) -> bool:
    code = frame.f_code
    return (code.co_filename, code.co_name) in {(fleet.__file__, "_give"), (child.__file__, "give")}


def test_spawns_that_ctrl_c_cuts_short_harm_no_other_job(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Wherever it comes: the jobs after it run, and no worker is taken for a liar."""
    pool = make_pool(1, max_restarts=0)
    pool.warm_up(GUARD)
    for step in range(1, 1000):
        is_cut = interrupted(lambda: pool.spawn(double, args=(1,)), AtBytecode(step, _is_giving))
        assert pool.spawn(double, args=(2,)).result(GUARD) == 4, step
        if not is_cut:
            break

    assert step > 50
    assert pool.statistics().restarts == 0
