"""One child process, as its pool sees it: what it has been given, what is known to have begun.

Threads: fields marked so change under the pool's lock; the rest is set once, or belongs to the
collector's thread. Nothing here blocks or calls what is not ours.
Source: process-wire-spec.md, section 4; worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.backends.process.child_state import ChildEvent, ChildState, next_state
from runtime.backends.process.outbox import Outbox
from runtime.backends.process.page import REVOKED, STARTED, Page, fence
from runtime.backends.process.parcel import job_frame
from runtime.backends.process.unpacking import KnownFunctions
from runtime.backends.process.wire import FrameReader
from runtime.locking import taking

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from runtime.async_runtime.timers import Timer
    from runtime.backends.base import JobSink
    from runtime.backends.process.output import OutputReader
    from runtime.backends.process.relay import Relay

__all__ = ("Child",)

_OVERHEAD: Final = 5e-6  # seconds that a child needs for a job that does nothing
_NEW_COST: Final = 1 / 8  # the weight of the newest run time in what a job is taken to cost


class Child:
    """A slot of the process backend; see the module.

    Args:
        number: Of this child in its pool; never used twice.
        sock: The pool's end of the private socket pair; not blocking.
        page_fd: The descriptor of the shared page.
        lifeline: The write end of the pipe whose closing kills the child.
        limit: The longest frame that is accepted from it, in bytes.
        when_full: See `Outbox`.
        put_back: Puts a job that it will not run in front of all that wait.
        begun: Called, under the pool's lock, with a job that has begun and is limited in time.
        relay: Takes the log records of its jobs.
        now: When it was asked for.
    """

    __slots__ = (
        "_begun",
        "_lock",
        "_put_back",
        "_taking",
        "born_at",
        "cost",  # seconds that a job takes here, lately; None before the first
        "depth",  # how many jobs it may have at once; protected by the pool's lock
        "ends",  # SIGTERM or SIGKILL, where that was sent before its process was known
        "forked",
        "has_ended",  # whether the process is known to have ended
        "in_flight",  # (number, job) of all that it has, in order; protected by the pool's lock
        "is_dying",  # it was killed on purpose: no crash; protected by the pool's lock
        "is_early",  # it was ready before its process was known
        "is_set_up",  # it has said that it is here: its initializer comes next
        "jobs_done",  # protected by the pool's lock
        "known",  # which functions it still has; protected by the pool's lock
        "last",  # the number of the last job it was given; protected by the pool's lock
        "lifeline",
        "number",
        "outbox",
        "outputs",  # readers of its output, where that is captured
        "page",
        "page_fd",
        "pid",
        "pidfd",
        "reader",
        "recycle",  # why it is to be replaced, once it has no job; protected by the pool's lock
        "relay",
        "revoked",  # as the page has it, where it can be written over; protected by the pool's lock
        "since",  # when it got its present job, or went idle; protected by the pool's lock
        "sock",
        "state",  # protected by the pool's lock; written by `advance` only
        "timer",  # of its start, its idleness, or its ladder
        "why_ended",  # by the pool: an error or words, the first ones; None where it was not
    )

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        number: int,
        sock: socket.socket,
        page_fd: int,
        lifeline: int,
        *,
        limit: int,
        when_full: Callable[[], object],
        put_back: Callable[[JobSink], object],
        begun: Callable[[JobSink], object],
        relay: Relay,
        now: float,
    ) -> None:
        self._put_back = put_back
        self._begun = begun
        self._lock = threading.RLock()  # guards pidfd, pid and ends
        self._taking = taking(self._lock)
        self.number = number
        self.sock = sock
        self.page_fd = page_fd
        self.page = Page(page_fd)
        self.lifeline = lifeline
        self.reader = FrameReader(sock, limit)
        self.outbox = Outbox(sock, when_full)
        self.relay = relay
        self.outputs: list[OutputReader] = []
        self.known = KnownFunctions()
        self.state = ChildState.STARTING
        self.in_flight: deque[tuple[int, JobSink]] = deque()
        self.last = self.revoked = 0
        self.jobs_done = 0
        self.cost: float | None = None
        self.depth = 1
        self.pid = 0
        self.pidfd = -1
        self.born_at = self.since = now
        self.is_dying = self.is_set_up = self.is_early = False
        self.has_ended = False
        self.recycle: str | None = None
        self.why_ended: BaseException | str | None = None
        self.ends = 0
        self.timer: Timer | None = None
        self.forked = False  # it is no thread of this process

    # ---- what a job sees of its slot (SlotView) -------------------------------------------

    @property
    def job(self) -> JobSink | None:
        """The job that runs here now, as far as is known."""
        return self.in_flight[0][1] if self.in_flight else None

    @property
    def now(self) -> float | None:
        """None: the end of one job is heard of later than the next one begins."""
        return None

    @now.setter
    def now(self, now: float | None) -> None:
        pass

    def progress(self, job: JobSink, value: object) -> None:
        """See `SlotView`: who asks is in this process."""

    def interrupt(self, job: JobSink) -> bool:  # noqa: ARG002 - the child does it, see `serving`
        """Never from here."""
        return False

    def confirm(self, job: JobSink) -> None:
        """See `SlotView.confirm`: take back what has not begun; what has, is claimed."""
        if job.slot is self:
            for taken in reversed(self.take_back()):
                self._put_back(taken)

    # ---- the process ----------------------------------------------------------------------

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended. Any thread.

        Under a lock of its own, so that the descriptor is not closed, and perhaps another
        child's, when it is used.
        """
        _ = True in self._taking  # see `runtime.locking`
        try:
            if self.pid == 0:
                if self.ends != signal.SIGKILL:
                    self.ends = number
            elif self.pidfd >= 0:
                with contextlib.suppress(OSError):  # it has ended
                    signal.pidfd_send_signal(self.pidfd, number)
            elif not self.has_ended:  # pragma: no cover - only where there are no pidfds
                with contextlib.suppress(OSError):
                    os.kill(self.pid, number)
        finally:
            self._lock.release()

    def take_process(self, pid: int, pidfd: int) -> None:
        """Its process is known now: *pid*, and *pidfd* where there is one."""
        self.pidfd = pidfd
        self.pid = pid
        if self.ends:  # it was to end before it was there
            self.send_signal(self.ends)

    def tell_output(self, stream: str, line: str) -> None:
        """Log *line*, which it printed; its present job is taken to be the one that did."""
        job = self.job
        self.relay.output(self.pid, stream, line, None if job is None else (job.number, job.name))

    def cancel_timer(self) -> None:
        """Let go of the time that was watched for it."""
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Give back all descriptors and the page. Needs the pool's lock; may be called twice.

        Its outbox is closed by then; but not in a forked child.
        """
        self.cancel_timer()
        self.outbox.abandon()
        self.reader.close()
        self.sock.close()
        self.page.close()
        with self._lock:  # see `send_signal`
            pidfd, self.pidfd, self.has_ended = self.pidfd, -1, True
        for fd in (self.page_fd, self.lifeline, pidfd):
            if fd >= 0:
                os.close(fd)
        self.page_fd = self.lifeline = -1

    # ---- jobs. Everything below needs the pool's lock -------------------------------------

    def advance(self, event: ChildEvent) -> None:
        """Change the state."""
        self.state = next_state(self.state, event)

    def give(self, job: JobSink, deadline: float | None) -> None:
        """Line *job* up for it; `outbox.flush`, outside of the lock, sends it.

        Args:
            job: What is to be done.
            deadline: On the clock of the child.
        """
        number = self.last + 1
        part = job_frame(number, job, self.known, deadline)  # it may raise: then nothing was given
        self.last = number
        self.in_flight.append((number, job))
        job.slot = self
        self.outbox.put(part)

    def take_back(self) -> list[JobSink]:
        """Return the jobs that it will never begin, oldest first; it does not have them any more.

        Claims those that have begun meanwhile.
        """
        words, in_flight = self.page.words, self.in_flight
        words[REVOKED] = self.revoked = self.last
        fence()
        started = words[STARTED]
        taken: list[JobSink] = []
        while in_flight and in_flight[-1][0] > started:
            job = in_flight.pop()[1]
            job.slot = None
            taken.append(job)
        for _, job in in_flight:
            self.claim(job)
        taken.reverse()
        return taken

    def claim(self, job: JobSink) -> None:
        """*job* has begun, which may be known already."""
        if job.claim(self) and job.run_timeout is not None:
            self._begun(job)

    def note_cost(self, seconds: float, ahead: float, most: int) -> None:
        """A job took *seconds*: work out how many may be sent ahead, *most* and *ahead* seconds."""
        cost = self.cost
        if cost is None or seconds > 4 * cost:  # one long job counts at once
            self.cost = cost = seconds
        else:
            self.cost = cost = cost + (seconds - cost) * _NEW_COST
        self.depth = 1 + min(most, int(ahead / (cost + _OVERHEAD)))
