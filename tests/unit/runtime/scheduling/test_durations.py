"""`DurationCounter` and `Distribution`: the times of jobs, in a few numbers."""

from __future__ import annotations

import math

import pytest

from runtime.scheduling.durations import DurationCounter
from runtime.scheduling.statistics import Distribution, PoolStatistics


def counted(*seconds: float) -> Distribution:
    counter = DurationCounter()
    for one in seconds:
        counter.add(one)
    return counter.freeze()


def test_an_empty_one_answers_with_zeroes() -> None:
    """A fresh pool has no times yet, and says so without an error."""
    found = counted()

    assert (found.samples, found.mean, found.maximum, found.percentile(99)) == (0, 0.0, 0.0, 0.0)


def test_mean_and_maximum_are_exact() -> None:
    """Only percentiles are rounded."""
    found = counted(1.0, 2.0, 6.0)

    assert (found.samples, found.mean, found.maximum) == (3, 3.0, 6.0)


@pytest.mark.parametrize(
    ("percent", "bound"), [(0, 4e-6), (50, 4e-6), (75, 16e-6), (99, 0.001), (100, 0.001)]
)
def test_percentiles_are_upper_bounds_by_powers_of_two(percent: float, bound: float) -> None:
    """Half of the jobs took at most that; never more than the longest one."""
    found = counted(3e-6, 3e-6, 10e-6, 0.001)

    assert found.percentile(percent) == pytest.approx(bound)


@pytest.mark.parametrize("percent", [-1.0, 100.1, math.nan])
def test_a_percentage_that_is_none_is_refused(percent: float) -> None:
    """With what was given."""
    with pytest.raises(ValueError, match="percent must be"):
        counted(1.0).percentile(percent)


@pytest.mark.parametrize(
    ("seconds", "kept"), [(-1.0, 0.0), (math.nan, 0.0), (math.inf, 1e9), (1e300, 1e9), (0.0, 0.0)]
)
def test_nonsense_of_a_clock_is_counted_and_never_raises(seconds: float, kept: float) -> None:
    """It is added under the pool's lock, in the middle of settling a job."""
    assert counted(seconds).maximum == kept
    assert sum(counted(seconds).buckets) == 1


def test_done_is_the_sum_of_all_outcomes() -> None:
    """Every job ends in exactly one of them."""
    empty = counted()
    statistics = PoolStatistics(
        backend="thread",
        state="open",
        max_workers=1,
        workers=0,
        idle=0,
        queued=0,
        running=0,
        abandoned=0,
        abandoned_names=(),
        lent=0,
        at_abandoned_cap=False,
        succeeded=1,
        failed=2,
        timed_out=3,
        cancelled=4,
        wait_time=empty,
        run_time=empty,
    )

    assert statistics.done == 10
