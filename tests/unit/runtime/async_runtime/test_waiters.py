"""Waking everybody, whatever comes in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime.waiters import wake_each
from runtime.testing import CountingWaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.async_runtime.waiters import Wakeable


class Interrupted:
    """Wakers, between two of which a signal handler raises."""

    def __init__(self, *wakers: Wakeable) -> None:
        self._wakers = list(wakers)
        self._left = 1

    def __iter__(self) -> Iterator[Wakeable]:
        return self

    def __next__(self) -> Wakeable:
        if len(self._wakers) == 1 and self._left:
            self._left -= 1
            raise KeyboardInterrupt
        if not self._wakers:
            raise StopIteration
        return self._wakers.pop(0)


def test_an_interrupt_between_two_wakers_leaves_nobody_asleep() -> None:
    """It is raised, but only when the rest are awake."""
    first, second = CountingWaker(), CountingWaker()

    with pytest.raises(KeyboardInterrupt):
        wake_each(Interrupted(first, second))

    assert (first.count, second.count) == (1, 1)
