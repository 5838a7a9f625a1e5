"""Waiting for a descriptor that is closed, or that is the executor's own."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import (
    Executor,
    TaskState,
    notify_closing,
    wait_readable,
    wait_writable,
    yield_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.async_runtime.descriptors import DescriptorFuture, HasFileno

    Wait = Callable[[int | HasFileno], DescriptorFuture]

GUARD = 10.0  # seconds that only a deadlock reaches

WAITS = pytest.mark.parametrize("wait", [wait_readable, wait_writable])


def closed_socket() -> socket.socket:
    made = socket.socket()
    made.close()
    return made


def closed_number() -> int:
    """Return the lowest number that is free, so the next one that is given to anybody."""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    return reader


@WAITS
@pytest.mark.parametrize("descriptor", [-1, 65000, 1 << 40])
def test_what_is_closed_already_fails_at_once(wait: Wait, descriptor: int) -> None:
    """In place of a wait without an end."""
    with Executor() as executor:
        with pytest.raises(OSError, match=f"descriptor {descriptor} is closed") as caught:
            executor.run_until_complete(wait(descriptor), GUARD)

        assert caught.value.errno == errno.EBADF
        assert not executor.watches_descriptors


@WAITS
def test_a_closed_socket_is_an_error_of_the_system(wait: Wait) -> None:
    """It gives -1, which selectors refuse with an error of another type."""
    with Executor() as executor:
        with pytest.raises(OSError, match="is closed") as caught:
            executor.run_until_complete(wait(closed_socket()), GUARD)

        assert caught.value.errno == errno.EBADF


def test_so_is_a_closed_file(tmp_path: Path) -> None:
    """It raises where it is asked for its descriptor; other refusals of objects stay theirs."""

    class Refuses:
        def fileno(self) -> int:
            raise ValueError("not today")

    with (tmp_path / "file").open("w") as file:
        pass
    with Executor() as executor, pytest.raises(OSError, match="is closed"):
        executor.run_until_complete(wait_readable(file), GUARD)
    with pytest.raises(ValueError, match="not today"):
        wait_readable(Refuses())


@pytest.mark.skipif(sys.platform == "win32", reason="a number there tells nothing")
def test_a_number_that_the_executors_bell_would_take_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The executor makes its own descriptors at the first wait, and gets the same number."""
    for kind in (selectors.DefaultSelector, selectors.SelectSelector):
        monkeypatch.setattr(selectors, "DefaultSelector", kind)

        async def main() -> None:
            with pytest.raises(OSError, match="is closed"):
                await wait_readable(closed_number())
            await yield_now()

        with Executor() as executor:
            executor.run_until_complete(main(), GUARD)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are not waited for there")
def test_a_number_that_the_executor_takes_before_the_first_poll_is_refused() -> None:
    """It was open at the call, and another file's at the poll: the executor's own."""
    reader, writer = os.pipe()

    async def main() -> None:
        wait = wait_readable(reader)
        os.close(reader)
        os.close(writer)
        with pytest.raises(OSError, match="is the executor's own") as caught:
            await wait
        assert caught.value.errno == errno.EBADF

    with Executor() as executor:
        executor.run_until_complete(main(), GUARD)


def test_the_executors_own_descriptors_are_refused() -> None:
    """Whoever waited for one would wait for himself; the loop goes on, and hears its bell."""
    mine, theirs = socket.socketpair()
    with mine, theirs, Executor() as executor:

        async def main() -> None:
            other = executor.spawn(wait_readable(mine))
            await yield_now()
            watcher = executor._parker.make_watcher()
            for own in {watcher.bell, executor.fileno()}:
                with pytest.raises(OSError, match="is the executor's own"):
                    await wait_readable(own)
                notify_closing(own)
            theirs.send(b"x")
            await other
            assert other.state is TaskState.COMPLETED

        executor.run_until_complete(main(), GUARD)
