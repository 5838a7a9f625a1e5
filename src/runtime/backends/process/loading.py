"""Threads that unpickle what children send, where that may run code of the user.

Such code may take for ever: then one of these threads is lost, and the job's future stays
open until its limit; the collector and all other results go on. A thread whose job is over does
not count any more, and another one takes its place. A thread starts when something is to be
loaded and none is free; one that has been free for a while ends.
Why nothing is left lying: who submits appends, then looks whether a thread is free, both under the
lock; a thread looks at the queue and declares itself free under the same lock.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.async_runtime.callback_thread import keeps_out_callbacks
from runtime.locking import locked, taking
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.base import JobSink

    _Task = tuple[Callable[[], object], JobSink | None]  # what to call, and for which job

__all__ = ("Loader",)

_MOST: Final = 16  # threads: so many results may hang before the next ones wait
_MOST_LOST: Final = 240  # threads beyond these, for jobs that are over
_LINGER: Final = 1.0  # seconds that a thread stays free before it ends


class Loader:
    """Runs calls on threads of its own, side by side. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # guards what follows
        self.taking = taking(self.lock)
        self._queue: deque[_Task] = deque()
        self._busy: dict[threading.Lock, JobSink | None] = {}  # by the gate of the thread
        self._free: list[threading.Lock] = []  # the gates of threads that have nothing to do
        self._count = 0
        self._closed = False

    def submit(self, call: Callable[[], object], job: JobSink | None = None) -> None:
        """Have *call*, which is for *job*, run on a thread; here, where none can be started."""
        if self._add(call, job):
            try:
                self._start()
            except RuntimeError:
                self._run_here()

    def note_over(self) -> None:
        """A job is over, whoever settled it: what hangs for it may stand in the way of others."""
        if self._queue and self._may_start():
            try:
                self._start()
            except RuntimeError:
                self._cannot_start()

    def _start(self) -> None:
        threading.Thread(target=self._work, name="vela-results", daemon=True).start()

    def _run_here(self) -> None:
        """Run what waits on this thread, which is somebody else's."""
        while self._queue:
            try:
                call, _ = self._queue.popleft()
            except IndexError:  # another thread took the last one
                break
            self._call(call)
        self._cannot_start()

    @locked
    def _add(self, call: Callable[[], object], job: JobSink | None) -> bool:
        self._queue.append((call, job))
        if self._free:
            self._free.pop().release()
            return False
        return self._counts_one_more()

    @locked
    def _may_start(self) -> bool:
        return bool(self._queue) and self._counts_one_more()

    @locked
    def _cannot_start(self) -> None:
        self._count -= 1

    def _counts_one_more(self) -> bool:
        """Needs lock. Count a thread that is to start; False where there are enough."""
        if self._count >= _MOST and not self._lost() > self._count - _MOST < _MOST_LOST:
            return False
        self._count += 1
        return True

    def _lost(self) -> int:
        """Needs lock. Return how many threads are busy with what is of no use any more."""
        return sum(job is not None and job.is_over() for job in self._busy.values())

    def _work(self) -> None:
        """What the threads do."""
        keeps_out_callbacks()
        self._run()

    def _run(self) -> None:
        gate = threading.Lock()
        gate.acquire()
        while True:
            call = self._next(gate)
            if call is not None:
                self._call(call)
                del call
            elif self._has_left(gate, is_tired=not gate.acquire(timeout=_LINGER)):
                return

    @staticmethod
    def _call(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException:  # noqa: BLE001 - a bug of ours: the other results go on
            logger(__name__).exception("the loader goes on after an error that is no job's")

    @locked
    def _next(self, gate: threading.Lock) -> Callable[[], object] | None:
        self._busy.pop(gate, None)
        if self._queue:
            call, self._busy[gate] = self._queue.popleft()
            return call
        self._free.append(gate)  # whoever takes it off opens it
        if self._closed:
            self._free.pop().release()
        return None

    @locked
    def _has_left(self, gate: threading.Lock, *, is_tired: bool) -> bool:
        """Leave where there is nothing to do any more; *is_tired*: the gate was not opened."""
        if is_tired:
            if gate not in self._free:  # it was, a moment ago
                gate.acquire()
                return False
            self._free.remove(gate)
        elif self._queue or not self._closed:
            return False
        self._count -= 1
        return True

    @locked
    def close(self) -> None:
        """Let the threads end when nothing is left to load."""
        self._closed = True
        while self._free:
            self._free.pop().release()
