"""Where worker threads come from: one `ThreadPoolExecutor` for the whole process.

We take its threads, not its queue: each runs a pump of ours (`slot`) until the pool that asked for
it lets it go. The executor is made with the first thread and shut down with the last one, or when
somebody waits for threads to end (`ThreadSource.see_off`): then the next one makes another.

Two properties that the standard executor does not give, and how we get them:

- *Daemon threads.* The interpreter joins every other thread when it exits, so one stuck job would
  hang it. A thread inherits "daemon" from the thread that starts it, so a short-lived
  daemon thread makes the ``submit`` call that starts a worker.
- *No join at exit.* ``concurrent.futures.thread`` joins all its workers from a hook that nothing
  public can precede. Each of our threads first takes itself out of its private table
  ``_threads_queues``, under the lock that the hook takes; where the hook was faster, it does
  nothing else, and its start is refused. Without that table or that lock (a later
  Python) the standard behaviour remains, exit joins.

What exit does instead is in `runtime.workers.lifetime`.
Source: ADR-006, ADR-007; worker-api-spec.md, section 7.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import WorkerStartError
from runtime.locking import locked, taking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import AbstractContextManager

    from runtime.backends.base import PoolLock

__all__ = ("ThreadSource", "thread_source")

_LIMIT: Final = 1 << 20  # pools have limits of their own; this one must never queue a pump


class _Ticket:
    """One wish for a thread."""

    __slots__ = ("_claim", "error", "main", "owner", "taken")

    def __init__(self, main: Callable[[], None], owner: object) -> None:
        self.main = main
        self.owner = owner
        self.error: BaseException | None = None  # why no thread could be started
        self.taken = threading.Lock()  # released once a thread has claimed or refused it
        self.taken.acquire()
        self._claim = threading.Lock()

    def claim(self) -> bool:
        """Decide what becomes of it: a thread runs it, or it is void. True for the first only."""
        return self._claim.acquire(False)


class _Here(threading.local):
    """What this thread is doing."""

    starting = False  # inside of the locks of the executor, which are not re-entrant


class ThreadSource:
    """Starts worker threads, named ``vela-worker-N``. Thread-safe."""

    _executor: ThreadPoolExecutor | None

    def __init__(self) -> None:
        self._last_number = 0  # protected by lock; goes on in a forked child
        self._begin()

    @staticmethod
    def load() -> None:
        """Import the executor: with the first pool, on the thread that makes it.

        An import by whichever thread starts the first worker could be cut in two by a fork,
        and the child would wait for it for ever; and at exit it would fail.
        """
        import concurrent.futures.thread  # noqa: F401, PLC0415 - loads logging; on demand

    def start(self, main: Callable[[], None], owner: object = None) -> None:
        """Run *main* on a thread, for *owner*; returns when that thread has been started.

        Raises:
            WorkerStartError: the system or the interpreter refused; *main* will not run.
            BaseException: what a signal handler raised; *main* runs, or it does not.
        """
        ticket = _Ticket(main, owner)
        failure: BaseException | None = None
        try:
            executor = self._register(ticket)
            # In an empty context: a build whose threads inherit one must not keep the caller's.
            contextvars.Context().run(self._start_from_daemon, executor, ticket)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failure = error
        failure = failure or ticket.error
        if failure is None:
            return
        # The executor keeps a ticket for which it could not start a thread: one that has come
        # free meanwhile may have taken it, and then all is well.
        is_void = ticket.claim()
        if is_void:
            self._release(ticket)
        if not isinstance(failure, Exception):
            raise failure
        if is_void:
            raise WorkerStartError(
                f"no worker thread could be started ({failure}): the limit of threads or "
                "memory is reached, or the interpreter is shutting down; use fewer workers"
            ) from failure

    @locked
    def threads(self) -> list[threading.Thread]:
        """Return the threads that have come from here and have not ended, as far as is known."""
        return list(self._threads)

    def see_off(
        self, owner: object, threads: Iterable[threading.Thread], timeout: float | None
    ) -> None:
        """Wait until *threads* have ended, whose last step for *owner* has been made.

        Not for those that serve somebody else by now, nor for the one that calls.
        """
        if sys.is_finalizing():  # they stand still, and never end
            return
        end = None if timeout is None else time.monotonic() + timeout
        executor, leaving = self._retire(owner, threads)
        if executor is not None:
            executor.shutdown(wait=False)
        for thread in leaving:
            thread.join(None if end is None else max(end - time.monotonic(), 0.0))

    @locked
    def _retire(
        self, owner: object, threads: Iterable[threading.Thread]
    ) -> tuple[ThreadPoolExecutor | None, list[threading.Thread]]:
        """Have every thread of now end with its pump; return which of *threads* do so for sure."""
        executor = None
        # A thread that has come free may take a ticket that nobody has taken yet.
        if len(self._running) == len(self._in_use):
            executor, self._executor = self._executor, None
            self._leaving.update(self._threads)
        others = {one for ticket, one in self._running.items() if ticket.owner is not owner}
        leaving = [one for one in threads if one in self._leaving and one not in others]
        return executor, [one for one in leaving if one.ident != threading.get_ident()]

    def defer(self, func: Callable[[], None]) -> bool:
        """Call *func* later where this thread is just starting another one; else False.

        A finalizer can run there at any moment, and may spawn; it cannot start a thread as well.
        """
        if not self._here.starting:
            return False
        self._deferred.append(func)
        return True

    @locked
    def _register(self, ticket: _Ticket) -> ThreadPoolExecutor:
        self._in_use.add(ticket)
        if self._executor is None:
            self._executor = _make_executor()
        return self._executor

    def _start_from_daemon(self, executor: ThreadPoolExecutor, ticket: _Ticket) -> None:
        if threading.current_thread().daemon:
            self._submit(executor, ticket)
            return
        starter = threading.Thread(
            target=self._submit, args=(executor, ticket), name="vela-starter", daemon=True
        )
        starter.start()
        starter.join()

    def _submit(self, executor: ThreadPoolExecutor, ticket: _Ticket) -> None:
        self._here.starting = True
        try:
            executor.submit(self._run, ticket)
            ticket.taken.acquire()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits in start()
            ticket.error = error
        finally:
            self._here.starting = False
        self._run_deferred()

    def _run(self, ticket: _Ticket) -> None:
        """The first frame of ours on a thread of the executor."""
        self._here.starting = True
        try:
            is_spared = _spare_from_exit()
        finally:
            self._here.starting = False
        if not is_spared:
            ticket.error = RuntimeError("the exit waits for this thread already")
        claimed = is_spared and ticket.claim()
        ticket.taken.release()
        try:
            self._run_deferred()
        finally:  # whatever that raises, who took a ticket runs it
            if claimed:
                self._run_main(ticket)

    def _run_main(self, ticket: _Ticket) -> None:
        self._enlist(threading.current_thread(), ticket)
        try:
            ticket.main()
        finally:
            self._release(ticket)

    def _run_deferred(self) -> None:
        while True:
            try:
                func = self._deferred.popleft()
            except IndexError:  # also where another thread was faster
                return
            func()

    @locked
    def _enlist(self, thread: threading.Thread, ticket: _Ticket) -> None:
        self._last_number += 1
        thread.name = f"vela-worker-{self._last_number}"
        self._threads.add(thread)
        self._running[ticket] = thread

    def _release(self, ticket: _Ticket) -> None:
        """One thread less is in use; with the last one the executor's threads end."""
        executor = self._unregister(ticket)
        if executor is not None:
            executor.shutdown(wait=False)

    @locked
    def _unregister(self, ticket: _Ticket) -> ThreadPoolExecutor | None:
        """Return the executor where nobody needs it any more."""
        self._in_use.discard(ticket)
        self._running.pop(ticket, None)
        if self._in_use:
            return None
        executor, self._executor = self._executor, None
        self._leaving.update(self._threads)
        return executor

    def _begin(self) -> None:
        # Guards all but _deferred and _here; not held while starting.
        self.lock: PoolLock = threading.RLock()
        self.taking = taking(self.lock)
        self._executor = None
        self._in_use: set[_Ticket] = set()  # of threads that run a pump, or are about to
        self._running: dict[_Ticket, threading.Thread] = {}  # those that a thread has taken
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        # Those whose executor is shut down: they take no more tickets, and end.
        self._leaving: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._deferred: deque[Callable[[], None]] = deque()
        self._here = _Here()

    def reset_after_fork(self) -> None:
        """In a forked child: none of the parent's threads exist here."""
        self._begin()


def _make_executor() -> ThreadPoolExecutor:
    # Of its own module: a program may put ours where everybody imports the standard one from.
    from concurrent.futures.thread import ThreadPoolExecutor  # noqa: PLC0415 - see load

    return ThreadPoolExecutor(_LIMIT, thread_name_prefix="vela-worker")


def _spare_from_exit() -> bool:
    """Take this thread out of what the standard library joins at exit; False: it is too late."""
    import concurrent.futures.thread as owner  # noqa: PLC0415 - loaded by the executor already

    table: MutableMapping[threading.Thread, Any] | None  # Any: the executor's own queue
    table = getattr(owner, "_threads_queues", None)
    lock: AbstractContextManager[object] | None = getattr(owner, "_global_shutdown_lock", None)
    thread = threading.current_thread()
    if table is None or lock is None or not thread.daemon:
        return True
    with lock:  # whoever started this thread holds it until the table has the thread
        if getattr(owner, "_shutdown", False):
            return False
        table.pop(thread, None)
    return True


_source: Final = ThreadSource()


def thread_source() -> ThreadSource:
    """Return the one source of this process."""
    return _source
