"""Children of executors: how they come and go, and what goes wrong on the way to them and back."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool
from pickle import PicklingError, UnpicklingError
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import UnpicklableError
from runtime.interop.concurrent import ProcessExecutor
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import (
    BadError,
    Farewell,
    Made,
    Packed,
    fail_with,
    give,
    make,
    raise_bad,
    suicide,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process


def test_arguments_are_freed_in_the_child_too(tmp_path: Path) -> None:
    """Before the next job of that child."""
    mark = tmp_path / "gone"
    with ProcessExecutor(1) as executor:
        executor.submit(id, Farewell(str(mark))).result(GUARD)
        assert executor.submit(os.path.exists, mark).result(GUARD)


@pytest.mark.parametrize("last", ["shutdown", "no wait", "nobody"])
@pytest.mark.parametrize("workers", [1, 3])
def test_children_are_replaced_while_the_executor_ends(last: str, workers: int) -> None:
    """What was taken ends, errors among it, whether somebody waits for it or not."""
    executor = ProcessExecutor(workers, max_tasks_per_child=1)
    futures = [executor.submit(give, number) for number in range(6)]
    failed = executor.submit(raise_bad)
    pool = executor.pool
    if last != "nobody":
        executor.shutdown(wait=last == "shutdown")
    del executor

    assert [future.result(GUARD) for future in futures] == list(range(6))
    assert isinstance(failed.exception(GUARD), BadError)
    assert pool.shutdown(timeout=GUARD)


def _exit() -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("call", "error", "cause"),
    [
        ((give, Packed(fail_with, PicklingError("no"))), UnpicklableError, PicklingError),
        ((give, Made(_exit)), UnpicklableError, SystemExit),
        ((give, Made(fail_with, UnpicklingError("no"))), UnpicklableError, UnpicklingError),
        ((give, Made(suicide)), BrokenProcessPool, None),
        ((suicide,), BrokenProcessPool, None),
        ((_exit,), SystemExit, None),
        ((raise_bad,), BadError, None),
        ((make, Packed, suicide), BrokenProcessPool, None),
        ((make, Packed, _exit), UnpicklableError, SystemExit),
        ((make, Packed, raise_bad), UnpicklableError, BadError),
        ((make, Made, fail_with, UnpicklingError("no")), UnpicklableError, UnpicklingError),
        ((make, Made, _exit), UnpicklableError, SystemExit),
    ],
)
def test_what_goes_wrong_on_the_way_harms_one_call(
    call: tuple[Any, ...], error: type[BaseException], cause: type[BaseException] | None
) -> None:
    """While its arguments or its result are packed or unpacked, or while it runs."""
    with ProcessExecutor(1) as executor:
        raised = executor.submit(*call).exception(GUARD)

        assert isinstance(raised, error)
        if error is UnpicklableError:
            assert isinstance(raised, PicklingError)
            assert cause is not None
            assert f"{cause.__name__}" in str(raised)
        assert executor.submit(give, 1).result(GUARD) == 1


def test_a_crash_just_before_shutdown_blocks_nothing() -> None:
    """Nor does a call that cannot travel."""
    with ProcessExecutor(2) as executor:
        crashed = executor.submit(suicide)
    assert isinstance(crashed.exception(0), BrokenProcessPool)

    executor = ProcessExecutor(2)
    refused = executor.submit(give, Packed(raise_bad))
    executor.shutdown(wait=False)
    assert isinstance(refused.exception(GUARD), UnpicklableError)
    assert executor.pool.shutdown(timeout=GUARD)


def test_crashes_under_large_arguments_block_nothing() -> None:
    """What no child will read any more is not waited for."""
    with ProcessExecutor(2) as executor, pytest.raises(BrokenProcessPool):
        list(executor.map(suicide, [bytearray(1 << 20)] * 10, timeout=GUARD))


def test_a_child_that_is_killed_while_it_rests_is_missed_by_nobody() -> None:
    """Another one takes its place."""
    with ProcessExecutor(1) as executor:
        pid = executor.submit(os.getpid).result(GUARD)
        assert executor.pool.wait_idle(GUARD)
        os.kill(pid, 9)

        assert [executor.submit(give, n).result(GUARD) for n in range(3)] == [0, 1, 2]
