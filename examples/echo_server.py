"""An echo server on our own loop, and thousands of clients to try it with.

    PYTHONPATH=src python examples/echo_server.py --connections 2000
    PYTHONPATH=src python examples/echo_server.py --port 7007     # serve until Ctrl-C

Sockets of the standard library, without blocking, and `wait_readable` and `wait_writable`
where one has nothing to give or no room: nothing else is needed to write a server, and a guest
language that runs on our loop would do just this. Server and clients share one thread here.
"""

from __future__ import annotations

import argparse
import errno
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime import Executor, Future, sleep
from runtime.async_runtime import TaskGroup, wait_readable, wait_writable, yield_now
from runtime.errors import TaskCancelledError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Load", "listen", "main", "receive", "run_load", "send_all", "serve", "talk")

_CHUNK: Final = 65536
_ACCEPTED_IN_A_ROW: Final = 100  # then the others have their turn
_NO_MORE_FILES: Final = (errno.EMFILE, errno.ENFILE)


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a socket that clients can connect to; it does not block."""
    listener = socket.create_server((host, port), backlog=4096)
    listener.setblocking(False)
    return listener


async def receive(end: socket.socket) -> bytes:
    """Return what came, waiting for something; nothing at the end."""
    while True:
        try:
            return end.recv(_CHUNK)
        except BlockingIOError:
            await wait_readable(end)


async def send_all(end: socket.socket, data: bytes) -> None:
    """Send all of *data*, waiting for room where there is none."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[end.send(rest) :]
        except BlockingIOError:
            await wait_writable(end)


async def serve(listener: socket.socket) -> None:
    """Echo whatever clients send, until cancelled; their connections end with this."""
    async with TaskGroup() as connections:
        while True:
            await wait_readable(listener)
            with suppress(BlockingIOError):  # that was the last one
                for _ in range(_ACCEPTED_IN_A_ROW):
                    try:
                        end, _address = listener.accept()
                    except OSError as error:
                        if error.errno not in _NO_MORE_FILES:
                            raise
                        await sleep(0.05)  # until somebody leaves
                        break
                    end.setblocking(False)
                    connections.spawn(_echo(end))


async def _echo(end: socket.socket) -> None:
    with end, suppress(ConnectionError):  # a client that is gone is no fault of the server
        while data := await receive(end):
            await send_all(end, data)
            await yield_now()  # who always has something to say must not have all turns


async def talk(address: tuple[str, int], messages: Sequence[bytes]) -> int:
    """Connect, send each of *messages* and check that it comes back; return how many did."""
    with socket.socket() as end:
        end.setblocking(False)
        with suppress(BlockingIOError):
            end.connect(address)
        await wait_writable(end)
        failed = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, f"cannot connect to {address}")
        for message in messages:
            await send_all(end, message)
            got = b""
            while len(got) < len(message):
                part = await receive(end)
                if not part:
                    raise ConnectionResetError("the server has closed the connection")
                got += part
            if got != message:
                raise ValueError(f"sent {message!r}, got {got!r}")
    return len(messages)


class Load(NamedTuple):
    """What a run under load came to."""

    connections: int
    echoed: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.connections} connections at a time, {self.echoed} messages echoed "
            f"in {self.seconds:.2f}s: {self.echoed / self.seconds:,.0f} per second"
        )


def run_load(connections: int, messages: int) -> Load:
    """Let that many clients talk at the same time, and count what came back."""
    _allow_files(2 * connections + 100)
    said = [f"message {number}\n".encode() for number in range(messages)]

    async def load(listener: socket.socket) -> int:
        serving = executor.spawn(serve(listener))
        address = listener.getsockname()
        counts = await Future.all([talk(address, said) for _ in range(connections)])
        serving.cancel()
        with suppress(TaskCancelledError):
            await serving
        return sum(counts)

    with Executor() as executor, listen() as listener:
        begun = time.perf_counter()
        echoed = executor.run_until_complete(load(listener))
        return Load(connections, echoed, time.perf_counter() - begun)


def _allow_files(count: int) -> None:
    """Raise the limit of open files, as far as the system lets us."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--messages", type=int, default=5)
    parser.add_argument("--port", type=int, help="serve there until Ctrl-C, without clients")
    options = parser.parse_args(arguments)
    if options.port is None:
        print(run_load(options.connections, options.messages))
        return 0
    with Executor() as executor, listen(port=options.port) as listener:
        print(f"serving on {listener.getsockname()}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            executor.run_until_complete(serve(listener))
        try:
            executor.run_until_stalled()  # the server was cancelled: its connections end now
        except* KeyboardInterrupt:  # it hit the task of a connection, and so the server's group
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
