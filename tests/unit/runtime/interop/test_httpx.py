"""A library that was written for asyncio, used from our executor: httpx and a local server."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from runtime.async_runtime import Executor, Future, timeout
from runtime.interop.foreign import from_asyncio, lent_asyncio
from runtime.interop.hosting import HostedLoop
from runtime.workers import WorkerPool

httpx = pytest.importorskip("httpx")
pytest.importorskip("anyio._backends._asyncio")  # here, so that no test is charged with it

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = 10.0  # seconds that only a deadlock reaches


class Handler(BaseHTTPRequestHandler):
    """Answers with the path; ``/slow`` when it is let."""

    opened: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.opened.wait(GUARD)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    Handler.opened.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Handler.opened.set()
    server.shutdown()
    thread.join(GUARD)
    server.server_close()


def test_a_worker_and_requests_side_by_side(address: str) -> None:
    """On a lent thread; the client's connections live as long as the block."""

    async def main() -> tuple[list[str], int]:
        with lent_asyncio(), WorkerPool(1) as pool:
            client = httpx.AsyncClient(trust_env=False)
            work = pool.spawn(lambda: sum(range(1000)))
            pages = [from_asyncio(client.get(f"{address}/{number}")) for number in range(5)]
            texts = [page.text for page in await Future.all(pages)]
            total = await work
            await from_asyncio(client.aclose())
        return texts, total

    with Executor() as executor:
        got = executor.run_until_complete(main(), GUARD)

    assert got == ([f"/{number}" for number in range(5)], 499500)


def test_requests_in_our_own_thread(address: str) -> None:
    """With asyncio hosted in our executor: one thread serves both."""

    async def main() -> list[str]:
        async with HostedLoop(executor) as hosted:
            client = httpx.AsyncClient(trust_env=False)
            with WorkerPool(1) as pool:
                page, name = await Future.all(
                    [hosted.run(client.get(f"{address}/here")), pool.spawn(lambda: "worker")]
                )
            await hosted.run(client.aclose())
        return [page.text, name]

    with Executor() as executor:
        assert executor.run_until_complete(main(), GUARD) == ["/here", "worker"]


def test_a_limit_of_ours_ends_a_request(address: str) -> None:
    """The request is cancelled over there; its connection is closed with the client."""

    async def main() -> str:
        with lent_asyncio():
            client = httpx.AsyncClient(trust_env=False, timeout=GUARD)
            try:
                async with timeout(0.05):
                    await from_asyncio(client.get(f"{address}/slow"))
            except TimeoutError:
                return "stopped waiting"
            finally:
                await from_asyncio(client.aclose())
        return "answered"

    with Executor() as executor:
        assert executor.run_until_complete(main(), GUARD) == "stopped waiting"
