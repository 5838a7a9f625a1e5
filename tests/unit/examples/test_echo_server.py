"""The echo server: many connections, clients that leave, and every way to end."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from examples.echo_server import listen, main, receive, run_load, send_all, serve, talk
from runtime import Executor, Future
from runtime.async_runtime import timeout
from runtime.errors import TaskCancelledError
from runtime.interop.guest import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen() as made:
        yield made


def test_hundreds_of_clients_talk_at_the_same_time() -> None:
    """All of what they say comes back; thousands are a matter of the command line."""
    load = run_load(300, 3)

    assert load.echoed == 900
    assert "300 connections at a time, 900 messages echoed" in str(load)


def test_a_message_that_is_larger_than_any_buffer(
    executor: Executor, listener: socket.socket
) -> None:
    """Both sides wait for room, and for more, in turns."""
    message = bytes(range(256)) * 8192  # 2 MiB

    async def program() -> int:
        serving = executor.spawn(serve(listener))

        async def send(end: socket.socket) -> None:
            await send_all(end, message)
            end.shutdown(socket.SHUT_WR)

        with socket.create_connection(listener.getsockname()) as end:
            end.setblocking(False)
            sending = executor.spawn(send(end))
            got = bytearray()
            while part := await receive(end):
                got += part
            await sending
        serving.cancel()
        with suppress(TaskCancelledError):
            await serving
        assert got == message
        return len(got)

    assert executor.run_until_complete(program(), GUARD) == len(message)


def test_clients_that_leave_rudely_do_not_stop_the_server(
    executor: Executor, listener: socket.socket
) -> None:
    """A connection that is reset ends its own task and no other."""
    address = listener.getsockname()

    async def program() -> int:
        serving = executor.spawn(serve(listener))
        for _ in range(20):
            with socket.create_connection(address) as end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.send(b"bye")
        counts = await Future.all([talk(address, [b"still there?"]) for _ in range(20)])
        serving.cancel()
        with suppress(TaskCancelledError):
            await serving
        return sum(counts)

    assert executor.run_until_complete(program(), GUARD) == 20


def test_cancelling_the_server_ends_its_connections(
    executor: Executor, listener: socket.socket
) -> None:
    """Clients see the end, and nothing is watched any more."""

    async def program() -> None:
        serving = executor.spawn(serve(listener))
        ends = [socket.create_connection(listener.getsockname()) for _ in range(20)]
        for end in ends:
            end.setblocking(False)
            await send_all(end, b"x")
            assert await receive(end) == b"x"
        serving.cancel()
        for end in ends:
            with end:
                assert await receive(end) == b""
        with suppress(TaskCancelledError):
            await serving

    executor.run_until_complete(program(), GUARD)
    assert not executor.watches_descriptors
    assert executor.active_tasks() == 0


def test_closing_the_executor_ends_its_connections(listener: socket.socket) -> None:
    """Without a word before: the tasks close what they hold."""
    with socket.create_connection(listener.getsockname(), timeout=GUARD) as end:
        with Executor() as executor:
            serving = executor.spawn(serve(listener))

            async def program() -> None:
                end.setblocking(False)
                await send_all(end, b"x")
                assert await receive(end) == b"x"

            executor.run_until_complete(program(), GUARD)
        end.settimeout(GUARD)

        assert end.recv(9) == b""
        assert serving.is_cancelled()


def test_it_serves_as_a_guest_of_asyncio(listener: socket.socket) -> None:
    """The same server, and clients of asyncio's, in one thread."""

    async def client(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"%d\n" % number)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    async def program() -> list[bytes]:
        with attach() as guest:
            serving = guest.spawn(serve(listener))
            lines = await asyncio.gather(*(client(number) for number in range(50)))
            serving.cancel()
            with suppress(TaskCancelledError):
                await serving
            return lines

    assert asyncio.run(program()) == [b"%d\n" % number for number in range(50)]


def test_a_client_that_nobody_answers_has_a_time_limit(executor: Executor) -> None:
    """The limit ends a wait for a socket as it ends any other one."""

    async def program() -> None:
        with listen() as deaf:  # connects, and that is all
            async with timeout(0.02):
                await talk(deaf.getsockname(), [b"hello?"])

    with pytest.raises(TimeoutError):
        executor.run_until_complete(program(), GUARD)


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A few clients, and one line about them."""
    assert main(["--connections", "10", "--messages", "2"]) == 0
    assert "20 messages echoed" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT for one process")
def test_ctrl_c_ends_a_server_quietly() -> None:
    """With a connection open; no traceback, no warning."""
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.echo_server", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    with child:
        assert child.stdout is not None
        line = child.stdout.readline()
        port = int(line.partition(", ")[2].partition(")")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=GUARD) as end:
            end.send(b"x")
            assert end.recv(1) == b"x"
            child.send_signal(signal.SIGINT)
            assert end.recv(1) == b""
        _, errors = child.communicate(timeout=GUARD)

    assert (child.returncode, errors) == (0, "")
