"""A thread with a loop of asyncio or trio in it, lent to whoever has work for one.

Started by the first use, ended with the last; a ``with`` block is a use too. The next use
starts another one. What still runs in that loop then is cancelled, as at the end of
``asyncio.run``.
Threads: any may use it; the loop's calls run in the lent one.
Source: interop-spec.md, section 5.2; ADR-012.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, Protocol, Self, final

from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ("LentLoop", "Stay")


class Stay(Protocol):
    """What the thread's loop gives to be reached by; called once, in the loop."""

    def __call__(
        self, post: Callable[[Callable[[], object]], object], end: Callable[[], object]
    ) -> None:
        """*post* has the loop make a call, from any thread; *end* ends it, called in the loop."""
        ...


class _Run:
    """One thread, from its start to its end."""

    __slots__ = ("end", "post", "waiting")

    def __init__(self) -> None:
        # Protected by the lock of the LentLoop until `post` is set, never changed after that.
        self.waiting: list[Callable[[], object]] = []
        self.post: Callable[[Callable[[], object]], object] | None = None
        self.end: Callable[[], object] = int


@final
class LentLoop:
    """A loop in a thread that lives as long as somebody uses it. Thread-safe.

    ``with`` keeps it: for work whose pieces share something that belongs to a loop, such as the
    connections of an HTTP client.

    Args:
        name: Of the thread.
        serve: Runs the loop until its end; calls what it gets once, as soon as it can be reached.
    """

    def __init__(self, name: str, serve: Callable[[Stay], None]) -> None:
        self._name = name
        self._serve = serve
        self._lock = threading.RLock()  # re-entrant: a finalizer may use it too
        self._uses = 0  # protected by _lock
        self._run: _Run | None = None  # as _uses; there while it is not 0
        _all.add(self)

    def take(self) -> None:
        """Use it; `give_back` ends that.

        Raises:
            WorkerStartError: no thread can be started.
        """
        with self._lock:
            self._uses += 1
            if self._run is not None:
                return
            run = self._run = _Run()
        # Daemon: work that never ends must not keep the interpreter from ending.
        thread = threading.Thread(target=self._live, args=(run,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._uses -= 1
                self._run = None
            raise WorkerStartError(f"cannot start the thread {self._name!r}: {error}") from error

    def post(self, call: Callable[[], object]) -> None:
        """Have the loop make *call*, which must not raise. Needs a use."""
        with self._lock:
            run = self._run
            if run is None:  # a forked child: what it inherited has no thread here
                return
            if run.post is None:
                run.waiting.append(call)
                return
        run.post(call)

    def give_back(self) -> None:
        """End one use; the last one ends the thread."""
        with self._lock:
            self._uses -= 1
            if self._uses > 0:
                return
            run, self._run = self._run, None
            if run is None:
                return
            if run.post is None:
                run.waiting.append(lambda: run.end())  # noqa: PLW0108 - it is not known yet
                return
        run.post(run.end)

    def is_running(self) -> bool:
        """Tell whether there is a thread."""
        return self._run is not None

    def _live(self, run: _Run) -> None:
        def stay(post: Callable[[Callable[[], object]], object], end: Callable[[], object]) -> None:
            with self._lock:
                run.post, run.end = post, end
                waiting, run.waiting = run.waiting, []
            for call in waiting:
                call()

        try:
            self._serve(stay)
        finally:
            with self._lock:
                if self._run is run:  # an interrupt has ended the loop: the next use starts anew
                    self._run = None

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def __repr__(self) -> str:
        state = f"{self._uses} use(s)" if self.is_running() else "no thread"
        return f"<LentLoop {self._name!r} with {state}>"


_all: Final[weakref.WeakSet[LentLoop]] = weakref.WeakSet()  # for a forked child


def _reset_after_fork() -> None:
    """In a forked child: the threads are the parent's."""
    for lent in list(_all):
        lent._lock = threading.RLock()
        lent._uses = 0
        lent._run = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
