"""A process backend without processes: the test is the collector, the source and the children."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from runtime.backends.process import nursery
from runtime.backends.process.backend import ProcessBackend
from runtime.backends.process.page import FINISHED, REVOKED, STARTED, Page
from runtime.backends.process.starting import ChildFds, Ended, SourceEvent, Started
from runtime.backends.process.wire import Frame, FrameReader, FrameType, frame, rights
from runtime.backends.process_options import ProcessSettings
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from runtime.backends.base import SlotView
    from runtime.backends.process.child import Child
    from runtime.backends.process.collector import Collector

__all__ = ("Bench", "FakeJob", "FakeSource", "HandCollector", "Peer", "bench_of", "do_nothing")

LIMIT = 1 << 24


def do_nothing() -> None:
    """Never called: no child runs anything here."""


class FakeJob:
    """A job as a backend sees it; remembers what became of it. The states are words."""

    def __init__(
        self,
        number: int,
        work: Callable[..., object] = do_nothing,
        run_timeout: float | None = None,
    ) -> None:
        self.number = number
        self.work: Any = work  # Any: the backend puts something of its own in its place
        self.slot: SlotView | None = None
        self.state = "pending"
        self.outcomes: list[object] = []
        self.notes: list[object] = []
        self.name = self.label = f"worker {number}"
        self.given_name: str | None = None
        self.context = None
        self.deadline: float | None = None
        self.run_timeout = run_timeout
        self.wants_interrupt = False
        self.place = "here"

    def is_over(self) -> bool:
        """It has an outcome."""
        return self.state == "over"

    def is_pending(self) -> bool:
        """It has neither."""
        return self.state == "pending"

    def is_abandoned(self) -> bool:
        """It is over and still has a slot."""
        return self.state == "over" and self.slot is not None

    def claim(self, slot: SlotView) -> bool:
        """It begins."""
        if self.state != "pending":
            return False
        self.state, self.slot = "running", slot
        return True

    def cancel(self) -> bool:
        """Settle it from outside; True where it was running."""
        if self.slot is not None:
            self.slot.confirm(self)
        was_running, self.state = self.state == "running", "over"
        self.outcomes.append("cancelled")
        return was_running

    def _end(self, outcome: object) -> None:
        if self.state != "over":
            self.outcomes.append(outcome)
        self.state, self.slot = "over", None

    def execute(self) -> None:
        """Not here."""
        raise AssertionError

    def begun(self) -> None:
        """Its time is watched."""
        self.notes.append("begun")

    def never_began(self) -> None:
        """As told."""
        self.notes.append("never began")

    def returned(self, value: object) -> None:
        """As told."""
        self._end(value)

    def publish(self, value: object) -> bool:
        """As told."""
        self._end(value)
        return True

    def announce(self) -> None:
        """As told."""
        self.notes.append("announced")

    def raised(self, error: BaseException) -> None:
        """As told."""
        self._end(error)

    def crash(self, error: BaseException) -> None:
        """As told."""
        self.notes.append("crash")
        self._end(error)

    def note_progress(self, value: object) -> None:
        """As told."""
        self.notes.append(value)

    def expire(self) -> bool:
        """As told."""
        self._end("expired")
        return True

    def refuse(self, error: BaseException) -> bool:
        """As told."""
        if self.state != "pending":
            return False
        self._end(error)
        return True


class HandCollector:
    """A collector that does something only when the test says `run`. On the test's thread."""

    def __init__(self) -> None:
        self.requests: deque[Callable[[], object]] = deque()
        self.handlers: dict[int, Callable[[int], object]] = {}
        self._poll = select.poll()
        self.refusal: BaseException | None = None
        self.changes = 0

    def ask(self, request: Callable[[], object]) -> None:
        """Remember it; or raise what the test wants."""
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)

    def listen(self, fd: int, handler: Callable[[int], object], events: int = 25) -> None:
        """See `Collector`."""
        self.handlers[fd] = handler
        self._poll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """See `Collector`."""
        if fd in self.handlers:
            self._poll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """See `Collector`."""
        if self.handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def note_change(self) -> None:
        """See `Collector`."""
        self.changes += 1

    def is_here(self) -> bool:
        """See `Collector`."""
        return False

    def reset_after_fork(self) -> None:
        """See `Collector`."""
        self.requests.clear()
        self.handlers.clear()
        self._poll = select.poll()

    def run(self) -> None:
        """Do all that there is to do."""
        for _ in range(1000):
            ready = self._poll.poll(0)
            if not ready and not self.requests:
                return
            for fd, events in ready:
                if fd in self.handlers:
                    self.handlers[fd](events)
            while self.requests:
                self.requests.popleft()()
        raise AssertionError("it never comes to rest")


class Peer:
    """What stands for a child process; the test says what it does."""

    def __init__(self, number: int, fds: ChildFds) -> None:
        self.number = number
        self.sock = socket.socket(fileno=os.dup(fds.channel))
        self.sock.setblocking(False)
        page = os.dup(fds.page)
        self.page = Page(page)
        os.close(page)
        self.lifeline = os.dup(fds.lifeline)
        self.outputs = [os.dup(fd) for fd in (fds.output, fds.errors) if fd >= 0]
        self.reader = FrameReader(self.sock, LIMIT)
        self.alive, self._death = os.pipe()  # the read end stands for its pidfd
        self.frames: list[Frame] = []

    def read(self) -> list[Frame]:
        """Return what has come since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while self.reader.fill():
                found += self.reader.frames()
        self.frames += found
        return found

    def jobs(self) -> list[int]:
        """Return the numbers of the jobs that have come since the last time."""
        return [one.number for one in self.read() if one.type == FrameType.JOB]

    def send(self, *data: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send bytes, in one piece."""
        if fds:
            self.sock.sendmsg([b"".join(data)], rights(fds))
        else:
            self.sock.sendall(b"".join(data))

    def begin(self, number: int) -> bool:
        """Begin a job as `serving` does; False where it was taken back."""
        self.page.words[STARTED] = number
        return self.page.words[REVOKED] < number

    def answer(self, *numbers: int, took: int = 0, kind: int = 0) -> None:
        """Run these jobs: they return None after *took* microseconds."""
        data = b""
        for number in numbers:
            self.page.words[STARTED] = self.page.words[FINISHED] = number
            data += frame(FrameType.VALUE, number, kind=kind, extra=took)
        self.send(data)

    def is_orphan(self) -> bool:
        """Tell whether its lifeline was closed by the pool."""
        poll = select.poll()
        poll.register(self.lifeline, select.POLLIN)
        return bool(poll.poll(0))

    def die(self) -> None:
        """The process ends."""
        self.hang_up()
        if self._death >= 0:
            os.close(self._death)
            self._death = -1

    def hang_up(self) -> None:
        """It closes its socket."""
        self.sock.close()

    def close(self) -> None:
        """Give everything back."""
        self.die()
        self.reader.close()
        self.page.close()
        for fd in (self.lifeline, self.alive, *self.outputs):
            os.close(fd)


class FakeSource:
    """Starts what the test wants, when it wants."""

    def __init__(self) -> None:
        self.peers: dict[int, Peer] = {}
        self.news: list[SourceEvent] = []
        self.ends: dict[int, Ended] = {}
        self.refusal: BaseException | None = None
        self.calls: list[object] = []
        self._ears, self._bell = os.pipe()

    def start(self, number: int, fds: ChildFds) -> None:
        """See `ChildSource`."""
        if self.refusal is not None:
            raise self.refusal
        self.peers[number] = Peer(number, fds)

    def tell(self, *events: SourceEvent) -> None:
        """Have these events come."""
        self.news += events
        os.write(self._bell, b"x")

    def fileno(self) -> int | None:
        """See `ChildSource`."""
        return self._ears

    def events(self) -> list[SourceEvent]:
        """See `ChildSource`."""
        if self.news:
            os.read(self._ears, 100)
        news, self.news = self.news, []
        return news

    def reap(self, number: int) -> Ended | None:
        """See `ChildSource`."""
        return self.ends.get(number)

    def abandon(self, number: int) -> None:
        """See `ChildSource`."""
        self.calls.append(("abandon", number))

    def close(self) -> None:
        """See `ChildSource`."""
        self.calls.append("close")

    def forget(self) -> None:
        """See `ChildSource`."""
        self.calls.append("forget")

    def end(self) -> None:
        """Give everything back."""
        for peer in self.peers.values():
            peer.close()
        os.close(self._ears)
        os.close(self._bell)


class Bench:
    """A backend on a clock that stands still, and what the test plays."""

    def __init__(self, backend: ProcessBackend, source: FakeSource, clock: ManualClock) -> None:
        self.backend = backend
        self.source = source
        self.clock = clock
        self.hub = backend._hub
        self.fleet = backend._hub.fleet
        self.collector = HandCollector()
        self.hub.collector = cast("Collector", self.collector)
        self.signals: list[tuple[int, int]] = []
        self._numbers = 0

    def run(self) -> None:
        """Let the collector do what it has to."""
        self.collector.run()

    def spawn(
        self,
        work: Callable[..., object] = do_nothing,
        *,
        run_timeout: float | None = None,
        deadline: float | None = None,
    ) -> FakeJob:
        """Submit a job."""
        self._numbers += 1
        job = FakeJob(self._numbers, work, run_timeout)
        job.deadline = deadline
        self.backend.submit(job)
        return job

    def cancel(self, job: FakeJob) -> None:
        """Cancel it as a pool does."""
        with self.hub.lock:
            was_running = job.cancel()
        self.backend.note_over(job, was_running=was_running)

    def child(self, number: int) -> Child:
        """Return the pool's view of a child."""
        return self.fleet.children[number]

    def peer(self, number: int) -> Peer:
        """Return the child itself."""
        return self.source.peers[number]

    def begin(self, number: int) -> Peer:
        """Let child *number* have a process, which is not ready."""
        self.run()
        peer = self.peer(number)
        self.source.tell(Started(number, 1000 + number, os.dup(peer.alive)))
        peer.send(frame(FrameType.HELLO, 1000 + number))
        self.run()
        return peer

    def ready(self, *numbers: int) -> list[Peer]:
        """Let these children get ready."""
        peers = []
        for number in numbers:
            peer = self.begin(number)
            peer.send(frame(FrameType.READY))
            self.run()
            peers.append(peer)
        return peers

    def idle(self, count: int = 1) -> list[Peer]:
        """Return *count* children that have done one job each, of no time to speak of."""
        jobs = [self.spawn() for _ in range(count)]
        peers = self.ready(*range(1, count + 1))
        for peer in peers:
            (number,) = peer.jobs()
            peer.answer(number)
            self.run()
        assert all(job.outcomes == [None] for job in jobs)
        assert len(self.fleet.idle) == count
        return peers

    def die(self, peer: Peer, status: int = -9, peak_bytes: int | None = None) -> None:
        """Let a child die, and the pool hear of it."""
        self.source.ends[peer.number] = Ended(peer.number, status, peak_bytes)
        peer.die()
        self.run()


@contextlib.contextmanager
def bench_of(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Bench]:  # noqa: ANN401 - Any: of `ProcessSettings`
    """Yield a bench; afterwards nothing is left of it."""
    source, clock = FakeSource(), ManualClock(100.0)
    monkeypatch.setattr(nursery, "make_source", lambda _settings: source)
    settings = ProcessSettings(**{"name": "the pool", **options})
    backend = ProcessBackend(threading.RLock(), clock, settings)
    bench = Bench(backend, source, clock)
    monkeypatch.setattr(
        "signal.pidfd_send_signal",
        lambda pidfd, number: bench.signals.append((_owner(bench, pidfd), number)),
    )
    try:
        yield bench
    finally:
        bench.hub.loader.close()
        for child in list(bench.fleet.children.values()):
            for reader in child.outputs:
                reader.close()
            child.outbox.close()
            child.close()
        source.end()


def _owner(bench: Bench, pidfd: int) -> int:
    return next(one.number for one in bench.fleet.children.values() if one.pidfd == pidfd)
