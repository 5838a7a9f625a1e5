"""The page: pool and child agree on every job, in whatever order they take their steps."""

from __future__ import annotations

import errno
import os
import sys
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.process.page import (
    CANCELLED,
    FAULTS_OFFSET,
    FINISHED,
    PAGE_SIZE,
    REVOKED,
    SKIPPED,
    STARTED,
    Page,
    fence,
    new_page_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sides() -> Iterator[tuple[Page, Page]]:
    """Two views of one page."""
    fd = new_page_file()
    pages = Page(fd), Page(fd)
    yield pages
    for page in pages:
        page.close()
        page.close()
    os.close(fd)


def test_both_sides_see_each_other_s_words(sides: tuple[Page, Page]) -> None:
    """From one to the other, without any call."""
    pool, child = sides
    for place in (STARTED, FINISHED, SKIPPED, REVOKED, CANCELLED):
        pool.words[place] = place + (1 << 63)
        assert child.words[place] == place + (1 << 63)
    assert len({STARTED, FINISHED, SKIPPED, REVOKED, CANCELLED}) == 5
    assert len(pool.words) * 8 == PAGE_SIZE


def test_a_new_page_is_empty_nameless_and_not_inherited() -> None:
    """Programs that a job starts get nothing of it."""
    fd = new_page_file()
    try:
        assert os.fstat(fd).st_size == PAGE_SIZE
        assert not os.get_inheritable(fd)
        assert os.pread(fd, PAGE_SIZE, 0) == bytes(PAGE_SIZE)
    finally:
        os.close(fd)


@pytest.mark.skipif(sys.platform != "linux", reason="seals")
def test_nobody_can_cut_a_page_short() -> None:
    """The other side would die of SIGBUS when it next looks at it; faults are written behind it."""
    fd = new_page_file()
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        os.pwrite(fd, b"stack", FAULTS_OFFSET)
        assert os.pread(fd, 10, FAULTS_OFFSET) == b"stack"
    finally:
        os.close(fd)


def test_a_page_that_gets_no_memory_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leak check counts it."""

    def refuse(_fd: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "no memory")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(OSError, match="no memory"):
        new_page_file()


class Model:
    """One job that was sent, the pool that takes it back, and the child that begins it."""

    def __init__(self, pool: Page, child: Page, number: int) -> None:
        self._pool, self._child, self._number = pool.words, child.words, number
        self.taken_back = self.runs = self.skipped = False

    def pool_steps(self) -> Iterator[None]:
        """As `Child.take_back`, one step at a time."""
        self._pool[REVOKED] = self._number
        fence()
        yield
        self.taken_back = self._number > self._pool[STARTED]
        yield

    def child_steps(self) -> Iterator[None]:
        """As `Server._job`, one step at a time."""
        self._child[STARTED] = self._number
        fence()
        yield
        if self._child[REVOKED] >= self._number:
            self._child[SKIPPED] = self._number
            self.skipped = True
        else:
            self.runs = True
        yield


@pytest.mark.parametrize("pool_first", list(combinations(range(4), 2)))
def test_in_every_order_a_job_runs_here_or_goes_elsewhere_and_both_sides_know(
    sides: tuple[Page, Page], pool_first: tuple[int, int]
) -> None:
    """The only order in which both give way ends with the child saying so."""
    model = Model(*sides, 7)
    pool, child = model.pool_steps(), model.child_steps()

    for turn in range(4):
        next(pool if turn in pool_first else child)

    assert model.runs is not model.skipped
    assert not (model.runs and model.taken_back)  # never twice
    if not model.taken_back:  # the pool waits for it: then it runs, or the child says SKIPPED
        assert model.runs or sides[0].words[SKIPPED] == 7


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
def test_jobs_that_are_taken_back_never_begin(script: list[tuple[bool, int]]) -> None:
    """Many jobs, begun and taken back by turns: what the pool has back is what did not begin."""
    fd = new_page_file()
    pool, child = Page(fd), Page(fd)
    sent: list[int] = []
    begun: set[int] = set()
    back: set[int] = set()
    last = 0
    try:
        for takes_back, count in script:
            for _ in range(count):
                last += 1
                sent.append(last)
            if takes_back:
                pool.words[REVOKED] = last
                fence()
                started = pool.words[STARTED]
                back |= {number for number in sent if number > started}
                sent = [number for number in sent if number <= started]
            elif sent:
                number = max(begun, default=0) + 1
                while number in back:
                    number += 1
                if number <= last:
                    child.words[STARTED] = number
                    fence()
                    if child.words[REVOKED] < number:
                        begun.add(number)
        assert not begun & back
        assert begun | back <= set(range(1, last + 1))
    finally:
        pool.close()
        child.close()
        os.close(fd)
