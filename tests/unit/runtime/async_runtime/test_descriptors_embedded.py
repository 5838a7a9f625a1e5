"""Waiting for descriptors in a loop that a host steps; and what it costs who does not wait."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import select
import selectors
import socket
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor, TaskState, sleep, wait_readable
from runtime.async_runtime.watching import Watcher
from runtime.errors import WouldBlockError
from runtime.testing import ManualClock
from tests.unit.runtime.async_runtime.test_forking import in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches
POLLABLE = hasattr(selectors.DefaultSelector, "fileno")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


def is_readable(executor: Executor) -> bool:
    return bool(select.select([executor.fileno()], [], [], 0)[0])


def test_steps_look_at_descriptors_and_do_not_wait(pair: Pair) -> None:
    """Both kinds of step, also where nothing else is ready."""
    with Executor() as executor:
        for drive in (executor.run_until_stalled, executor.step):
            task = executor.spawn(wait_readable(pair[0]))
            drive()
            drive()
            assert not task.done()
            pair[1].send(b"x")

            drive()

            assert task.done()
            pair[0].recv(9)


@pytest.mark.skipif(not POLLABLE, reason="needs epoll or kqueue")
def test_the_descriptor_of_the_loop_is_readable_while_one_that_is_waited_for_is(pair: Pair) -> None:
    """One number is enough for a host: for wakes, and for all that tasks wait for."""
    with Executor() as executor:
        assert not is_readable(executor)
        task = executor.spawn(wait_readable(pair[0]))
        assert is_readable(executor)
        executor.run_until_stalled()
        assert not is_readable(executor)

        pair[1].send(b"x")

        assert is_readable(executor)
        executor.run_until_stalled()
        assert task.state is TaskState.COMPLETED
        assert not is_readable(executor)


def test_what_may_not_block_looks_before_it_says_so(pair: Pair) -> None:
    """Ready is ready: nothing has to wait."""
    with Executor(block=False) as executor:
        with pytest.raises(WouldBlockError):
            executor.run_until_complete(wait_readable(pair[0]))
        pair[1].send(b"x")

        executor.run_until_complete(wait_readable(pair[0]))


def test_a_clock_that_jumps_does_not_jump_over_a_descriptor_that_is_ready(pair: Pair) -> None:
    """What can be done now is done before time passes."""
    clock = ManualClock(auto_advance=True)
    with Executor(clock=clock) as executor:
        executor.spawn(sleep(3600))
        pair[1].send(b"x")

        executor.run_until_complete(wait_readable(pair[0]))

        assert clock.now() == 0


def test_nobody_who_does_not_wait_pays(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """No selector before the first wait; after the last one the fast sleep is back."""
    selected: list[float | None] = []
    real = Watcher.select

    def count(self: Watcher, timeout: float | None) -> object:
        selected.append(timeout)
        return real(self, timeout)

    monkeypatch.setattr(Watcher, "select", count)

    executor = Executor()
    executor.run_until_complete(sleep(0.001))
    assert executor._parker.watcher is None

    pair[1].send(b"x")
    executor.run_until_complete(wait_readable(pair[0]), GUARD)
    assert selected
    selected.clear()
    assert executor._parker.watcher is None

    async def main() -> None:
        await wait_readable(pair[0])
        selected.clear()
        await sleep(0.001)

    executor.run_until_complete(main(), GUARD)

    assert selected == []
    executor.close()


def test_the_selector_is_asked_once_for_each_sleep(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second look where the loop has nothing else to do."""
    selected: list[float | None] = []
    real = Watcher.select

    def count(self: Watcher, timeout: float | None) -> object:
        selected.append(timeout)
        return real(self, timeout)

    monkeypatch.setattr(Watcher, "select", count)

    async def main() -> None:
        for _ in range(50):
            pair[1].send(b"x")
            await wait_readable(pair[0])
            pair[0].recv(1)

    with Executor() as executor:
        executor.run_until_complete(main(), GUARD)

    assert len(selected) == 50


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_change_what_the_parent_watches(pair: Pair) -> None:
    """A selector is shared with the parent: the child lets go of it, and touches nothing."""
    with Executor() as executor:
        task = executor.spawn(wait_readable(pair[0]))
        executor.run_until_stalled()

        def child() -> None:
            assert executor._parker.watcher is None
            executor.close()
            ends = socket.socketpair()
            with Executor() as own:
                ends[1].send(b"x")
                own.run_until_complete(wait_readable(ends[0]), GUARD)

        in_child(child)

        pair[1].send(b"x")
        executor.run_until_complete(task, GUARD)
