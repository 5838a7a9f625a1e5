"""Where worker threads come from: one `ThreadPoolExecutor` for the whole process.

We take its threads, not its queue: each runs a pump of ours (`slot`) until the pool that asked for
it lets it go. The executor is made with the first thread and shut down with the last one.

Two properties that the standard executor does not give, and how we get them:

- *Daemon threads.* The interpreter joins every other thread when it exits, so one stuck job would
  hang it. A thread inherits "daemon" from the thread that starts it, so a short-lived
  daemon thread makes the ``submit`` call that starts a worker.
- *No join at exit.* ``concurrent.futures.thread`` joins all its workers from a hook that nothing
  public can precede. We take our threads out of its private table ``_threads_queues``,
  guarded: without that table (a later Python) the standard behaviour remains, exit joins.

What exit does instead is in `runtime.workers.lifetime`.
Source: ADR-006, ADR-007; worker-api-spec.md, section 7.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from concurrent.futures import ThreadPoolExecutor

__all__ = ("ThreadSource", "thread_source")

_LIMIT: Final = 1 << 20  # pools have limits of their own; this one must never queue a pump


class _Ticket:
    """One wish for a thread."""

    __slots__ = ("error", "main", "taken", "thread", "void")

    def __init__(self, main: Callable[[], None]) -> None:
        self.main = main
        self.thread: threading.Thread | None = None  # who runs it
        self.taken = threading.Lock()  # released once `thread` is set
        self.taken.acquire()
        self.void = False  # True: starting failed; the executor may still run this later
        self.error: BaseException | None = None


class ThreadSource:
    """Starts worker threads, named ``vela-worker-N``. Thread-safe."""

    def __init__(self) -> None:
        self._starting = threading.Lock()  # one start at a time; taken before _lock
        self._lock = threading.Lock()  # guards the fields below; never held while starting
        self._executor: ThreadPoolExecutor | None = None
        self._in_use = 0  # threads that run a pump, or are about to
        self._numbers = itertools.count(1)

    def start(self, main: Callable[[], None]) -> None:
        """Run *main* on a thread; returns when that thread has been started.

        Raises:
            WorkerStartError: the system or the interpreter refused.
        """
        ticket = _Ticket(main)
        with self._lock:
            self._in_use += 1
            executor = self._executor = self._executor or _make_executor()
        starter = threading.Thread(
            target=self._submit, args=(executor, ticket), name="vela-starter", daemon=True
        )
        try:
            starter.start()
            starter.join()
        except RuntimeError as error:  # "can't start new thread"
            ticket.error = error
        if ticket.error is not None:
            ticket.void = True
            self._release()
            raise WorkerStartError(
                f"no worker thread could be started ({ticket.error}): the limit of threads or "
                "memory is reached, or the interpreter is shutting down; use fewer workers"
            ) from ticket.error

    def _submit(self, executor: ThreadPoolExecutor, ticket: _Ticket) -> None:
        with self._starting:
            try:
                executor.submit(self._run, ticket)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits in start()
                ticket.error = error
                return
            # Only now is a new thread in the executor's table; and because nobody else starts one
            # meanwhile, the thread that took this ticket is that one, or one spared before.
            ticket.taken.acquire()
            if ticket.thread is not None:
                _spare_from_exit(ticket.thread)

    def _run(self, ticket: _Ticket) -> None:
        """The first frame of ours on a thread of the executor."""
        thread = ticket.thread = threading.current_thread()
        ticket.taken.release()
        if ticket.void:
            return
        with self._lock:
            number = next(self._numbers)
        thread.name = f"vela-worker-{number}"
        try:
            ticket.main()
        finally:
            self._release()

    def _release(self) -> None:
        """One thread less is in use; with the last one the executor's threads end."""
        with self._lock:
            self._in_use -= 1
            if self._in_use:
                return
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def reset_after_fork(self) -> None:
        """In a forked child: none of the parent's threads exist here."""
        self._starting = threading.Lock()
        self._lock = threading.Lock()
        self._executor = None
        self._in_use = 0


def _make_executor() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - loads logging; on demand

    return ThreadPoolExecutor(_LIMIT, thread_name_prefix="vela-worker")


def _spare_from_exit(thread: threading.Thread) -> None:
    """Take *thread* out of what the standard library joins at exit; see the module."""
    import concurrent.futures.thread as owner  # noqa: PLC0415 - loaded by the executor already

    table: MutableMapping[threading.Thread, Any] | None  # Any: the executor's own queue
    table = getattr(owner, "_threads_queues", None)
    if table is not None and thread.daemon:
        table.pop(thread, None)


_source: Final = ThreadSource()


def thread_source() -> ThreadSource:
    """Return the one source of this process."""
    return _source
