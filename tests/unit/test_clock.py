"""Where time comes from, and which spans make sense."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from runtime.clock import SYSTEM_CLOCK, SteppedClock, check_timeout


def test_the_system_clock_is_the_monotonic_one() -> None:
    """It does not know when somebody sets the date."""
    before = time.monotonic()
    now = SYSTEM_CLOCK.now()

    assert before <= now <= time.monotonic()
    assert not isinstance(SYSTEM_CLOCK, SteppedClock)


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, 1e300])
def test_a_span_is_returned_as_it_is(value: float) -> None:
    """So that messages show what was given."""
    assert check_timeout("timeout", value) is value


@pytest.mark.parametrize("value", [None, math.inf])
def test_none_and_infinity_mean_no_limit(value: float | None) -> None:
    """One way to say it inside."""
    assert check_timeout("timeout", value) is None


@pytest.mark.parametrize("value", [-1, -0.001, -math.inf, math.nan])
def test_a_negative_span_is_refused_by_name(value: float) -> None:
    """The message names the parameter and what it got."""
    with pytest.raises(ValueError, match=r"max_time must be 0 or more seconds, got"):
        check_timeout("max_time", value)


@pytest.mark.parametrize("value", ["1", True, [], 1j])
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:  # noqa: ANN401 - the case
    """True would mean a second, and nobody means that."""
    with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
        check_timeout("timeout", value)
