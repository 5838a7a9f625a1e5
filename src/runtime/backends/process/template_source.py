"""Children forked by a template process, which is started when the first one is wanted.

Threads: one at a time; nothing here waits for the template, except `TemplateSource.close` for its
end. Requests that are too many for its socket follow with the next `TemplateSource.events`.
Linux only. Where the template has died, its children run on, but how they end is not known then.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import marshal
import os
import selectors
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

from runtime.backends.process.inherited import forget_after_fork
from runtime.backends.process.interpreter import module_path
from runtime.backends.process.starting import (
    PROGRAM,
    ChildFds,
    Ended,
    Failed,
    Lost,
    SourceEvent,
    Started,
)
from runtime.backends.process.template_link import TemplateLink, close_all, folder, how_it_ended
from runtime.errors import ProtocolError, WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("TemplateSource",)

_MARSHAL: Final = 4
_PATIENCE: Final = 1.0  # seconds for a template to leave by itself
_WINDOW: Final = 16  # requests without an answer: the system limits descriptors under way
_KIB: Final = 1024


class _Request(NamedTuple):
    number: int
    data: bytes
    descriptors: tuple[int, ...]


@final
class TemplateSource:
    """See the module and `starting.ChildSource`.

    Args:
        preload: Modules that the template imports before it forks.
        program: What children run, as ``module:function``.
        executable: The interpreter of the template; by default `sys.executable`.
    """

    def __init__(
        self,
        preload: Sequence[str] = (),
        *,
        program: str = PROGRAM,
        executable: str | None = None,
    ) -> None:
        self._preload = tuple(preload)
        self._program = program
        self._executable = executable
        self._selector: selectors.DefaultSelector | None = None
        self._link: TemplateLink | None = None
        self._outbox: deque[_Request] = deque()  # not sent yet
        self._sent: set[int] = set()  # requests that wait for their answer
        self._alive: set[int] = set()  # children of the template of now
        self._void: set[int] = set()  # those of them that failed: their end is not told
        self._asked: set[int] = set()  # those whose end somebody has asked for
        self._closed = False
        forget_after_fork(self)

    @property
    def template_pid(self) -> int | None:
        """The process id of the template; None: there is none now."""
        return None if self._link is None else self._link.pid

    def start(self, number: int, fds: ChildFds) -> None:
        """See `ChildSource.start`."""
        link = self._link or self._open()
        path, where = module_path(), folder()
        message = (
            number,
            None if where == link.folder else where,
            None if path == link.path else path,
            [descriptor >= 0 for descriptor in fds],
        )
        request = _Request(number, marshal.dumps(message, _MARSHAL), tuple(fds.present()))
        try:
            if self._outbox or not self._send(link, request):
                self._outbox.append(request._replace(descriptors=_copies(request.descriptors)))
        except OSError as error:
            raise WorkerStartError(f"cannot start a process: {error}") from error

    def fileno(self) -> int | None:
        """See `ChildSource.fileno`."""
        return None if self._selector is None else self._selector.fileno()

    def events(self) -> list[SourceEvent]:
        """See `ChildSource.events`."""
        found: list[SourceEvent] = []
        link = self._link
        while link is not None:
            try:
                answer = link.receive()
            except BlockingIOError:
                found += self._send_some(link)
                break
            if answer is None:
                found += self._lose(link)
                break
            event = self._event(link, *answer)
            if event is None:
                close_all(answer[1:])
            else:
                found.append(event)
        return found

    def reap(self, number: int) -> Ended | None:
        """See `ChildSource.reap`."""
        if number not in self._alive:
            return Ended(number, None, None)
        self._asked.add(number)
        return None

    def abandon(self, number: int) -> None:
        """See `ChildSource.abandon`."""
        if self._link is not None and self._is_waiting(number):
            self._link.kill()

    def close(self) -> None:
        """See `ChildSource.close`."""
        self._closed = True
        link, self._link = self._link, None
        if link is not None:
            link.end(_PATIENCE if link.ready else 0.0)
        self._drop()

    def forget(self) -> None:
        """See `ChildSource.forget`."""
        self._closed = True
        link, self._link = self._link, None
        if link is not None:
            link.forget()
        self._drop()

    def _is_waiting(self, number: int) -> bool:
        return number in self._sent or any(one.number == number for one in self._outbox)

    def _drop(self) -> None:
        for known in (self._sent, self._alive, self._void, self._asked):
            known.clear()
        while self._outbox:
            close_all(self._outbox.popleft().descriptors)
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.close()

    def _open(self) -> TemplateLink:
        if self._closed:
            raise WorkerStartError("cannot start a process: its pool is closed")
        if self._selector is None:
            try:
                self._selector = selectors.DefaultSelector()
            except OSError as error:
                raise WorkerStartError(f"cannot start a process: {error}") from error
        link = TemplateLink(self._preload, self._program, self._executable)
        self._selector.register(link, selectors.EVENT_READ)
        self._link = link
        return link

    def _send_some(self, link: TemplateLink) -> list[Failed]:
        """Send what waits, as far as that goes; return what can never be sent."""
        failed = []
        while self._outbox:
            request = self._outbox[0]
            try:
                if not self._send(link, request):
                    break
            except OSError as error:
                text = f"cannot send a request to the template process: {error}"
                failed.append(Failed(request.number, text, permanent=False))
            self._outbox.popleft()
            close_all(request.descriptors)
        return failed

    def _send(self, link: TemplateLink, request: _Request) -> bool:
        """Send a request; False: later, when one of those before it has been answered."""
        if len(self._sent) >= _WINDOW:
            return False
        try:
            link.send(request.data, request.descriptors)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has died; `events` will tell
        except OSError:
            if self._sent:  # too much under way
                return False
            raise
        self._sent.add(request.number)
        return True

    def _event(
        self, link: TemplateLink, answer: tuple[object, ...], pidfd: int
    ) -> SourceEvent | None:
        match answer:
            case ("started", int(number), int(pid)):
                self._sent.discard(number)
                self._alive.add(number)
                if number not in self._void:
                    return Started(number, pid, pidfd)
            case ("ended", int(number), (int() | None) as status, (int() | None) as peak):
                return self._ended(number, status, peak)
            case ("failed", -1, str(text), _):
                link.problem = text  # it ends now
            case (("failed" | "unfit") as who, int(number), str(text), bool(permanent)):
                if who == "unfit":  # a child says so itself: more is told of it, and to nobody
                    self._void.add(number)
                else:
                    self._sent.discard(number)
                return Failed(number, text, permanent)
            case ("ready",):
                link.ready = True
            case _:
                raise ProtocolError(f"the template process sent {answer!r}")
        return None

    def _ended(self, number: int, status: int | None, peak: int | None) -> Ended | None:
        self._alive.discard(number)
        self._asked.discard(number)
        if number in self._void:
            self._void.discard(number)
            return None
        return Ended(number, status, None if peak is None else peak * _KIB)

    def _lose(self, link: TemplateLink) -> list[SourceEvent]:
        """The template has ended: tell of all that will have no answer."""
        assert self._selector is not None, "a template without a selector"
        self._selector.unregister(link)
        self._link = None
        reason = f"the template process has died ({how_it_ended(link.end(0.0))})"
        if link.problem:
            reason = f"the template process could not start:\n{link.problem}"
        elif not link.ready:
            loaded = ", ".join((self._program, *self._preload))
            reason += f" before it was ready: it was importing {loaded}"
        unanswered = [*sorted(self._sent - self._void), *(one.number for one in self._outbox)]
        found: list[SourceEvent] = [
            Failed(number, reason, permanent=bool(link.problem)) for number in unanswered
        ]
        found += [Ended(number, None, None) for number in sorted(self._asked)]
        for known in (self._sent, self._alive, self._void, self._asked):
            known.clear()
        while self._outbox:
            close_all(self._outbox.popleft().descriptors)
        return [*found, Lost(reason)]


def _copies(descriptors: Sequence[int]) -> tuple[int, ...]:
    copies: list[int] = []
    try:
        copies.extend(os.dup(descriptor) for descriptor in descriptors)
    except OSError:
        close_all(copies)
        raise
    return tuple(copies)
