"""Fixtures for the tests of the async runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor
from runtime.testing import CountingWaker, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto_advance=True)


@pytest.fixture
def executor(clock: ManualClock) -> Iterator[Executor]:
    with Executor(clock=clock) as made:
        yield made


@pytest.fixture
def waker() -> CountingWaker:
    return CountingWaker()
