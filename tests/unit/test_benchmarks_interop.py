"""The benchmarks of other loops and of executors: all peers are there, and our side runs."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import measure
from benchmarks.model import OURS
from benchmarks.registry import ALL

if TYPE_CHECKING:
    from benchmarks.model import Benchmark


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_an_await_elsewhere_is_compared_with_all_that_loop_has(loop: str) -> None:
    """A figure of ours alone says nothing about a machine."""
    rows = [each for each in ALL if each.key == "B7" and f" from {loop}" in each.title]
    peers = {"trio.to_thread"} if loop == "trio" else {"asyncio.to_thread", "run_in_executor"}

    assert len(rows) == 3  # alone, on one processor and free, and side by side
    for row in rows:
        assert {*peers, "anyio.to_thread"} <= {side.name for side in row.others}


def test_a_loop_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole row is about it: no peer could stand in."""
    row = next(each for each in ALL if each.key == "B7" and " from trio" in each.title)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    result = measure.run(row, row.small, 1, warm_up=False)

    assert (result.absent, result.costs) == ("trio is not installed", {})


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [each for each in ALL if each.key == "B7"], ids=lambda each: each.title
)
def test_our_side_of_an_await_elsewhere_runs(row: Benchmark) -> None:
    """Without the peers, in a process of its own: loops keep things for the process."""
    if row.absent() is not None:
        pytest.skip(f"{row.absent()}")

    result = measure.run(replace(row, others=(), targets=()), 20, 1, warm_up=False)

    assert result.errors == {}
    assert result.costs[OURS][0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [each for each in ALL if each.key == "B10"], ids=lambda each: each.title
)
def test_all_executors_of_threads_run(row: Benchmark) -> None:
    """Ours, both kinds, and the one that they stand in for."""
    result = measure.run(row, 20, 1, warm_up=False)

    assert result.errors == {}
    assert list(result.costs) == [OURS, "PoolExecutor", "ThreadPoolExecutor"]
