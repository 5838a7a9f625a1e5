"""The waker that counts."""

from __future__ import annotations

from runtime.testing import CountingWaker, race


def test_it_counts_every_wake() -> None:
    """Also those that a plain waker would merge."""
    waker = CountingWaker()
    waker.wake()
    waker.wake_by_ref()

    assert waker.count == 2
    assert waker.is_woken()
    waker.reset()
    assert not waker.is_woken()
    assert waker.count == 2
    assert waker.clone().count == 0
    assert repr(waker) == "<CountingWaker 2>"


def test_wait_blocks_until_the_count_is_reached() -> None:
    """Or until its time is over."""
    waker = CountingWaker()

    def wake() -> bool:
        waker.wake()
        return True

    assert race(lambda: waker.wait(2), wake, wake) == [True, True, True]
    assert waker.wait(3, timeout=0.001) is False
