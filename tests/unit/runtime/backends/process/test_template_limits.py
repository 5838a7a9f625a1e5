"""A template on a system that refuses: a module to preload makes it do so."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.starting import ChildFds, Ended, Failed, Started
from runtime.backends.process.template_link import TemplateLink, how_it_ended
from runtime.backends.process.template_source import TemplateSource
from runtime.errors import ProtocolError, WorkerStartError
from tests.unit.runtime.backends.process.starting_tools import ANSWER, Child, Starter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="fork")]

_REFUSE = """
import os
def refuse(*args):
    raise {error}
os.{name} = refuse
"""


@pytest.fixture
def with_preloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Starter]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(text: str) -> Starter:
        (tmp_path / "preloaded_limit.py").write_text(text)
        return Starter(TemplateSource(["preloaded_limit"], program=ANSWER))

    return make


def test_without_pidfds_the_end_is_told_all_the_same(
    with_preloaded: Callable[[str], Starter],
) -> None:
    """Systems of before 2019 have none, and limits may be reached."""
    text = _REFUSE.format(name="pidfd_open", error="OSError(24, 'Too many open files')")
    with with_preloaded(text) as starter:
        child = starter.start()
        started = starter.event(lambda one: isinstance(one, Started))
        starter.pidfds.clear()
        child.ask("1")
        child.sock.close()
        ended = starter.event(lambda one: isinstance(one, Ended))

    assert isinstance(started, Started)
    assert started.pidfd == -1
    assert isinstance(ended, Ended)
    assert (ended.number, ended.status) == (child.number, 1)


def test_a_refused_fork_fails_the_start_and_may_be_tried_again(
    with_preloaded: Callable[[str], Starter],
) -> None:
    """`ulimit -u` may be reached for a moment."""
    text = _REFUSE.format(name="fork", error="BlockingIOError(11, 'no more processes')")
    with with_preloaded(text) as starter:
        failed = starter.failed(starter.start())

    assert "cannot fork" in failed.error
    assert "no more processes" in failed.error
    assert not failed.permanent


def test_an_end_that_somebody_else_waited_for_is_told_without_a_status(
    with_preloaded: Callable[[str], Starter],
) -> None:
    """A module may wait for all children of its process."""
    text = _REFUSE.format(name="wait4", error="ChildProcessError(10, 'no children')")
    with with_preloaded(text) as starter:
        child = starter.start()
        starter.started(child)
        child.sock.close()

        assert starter.ended(child) == Ended(child.number, None, None)


def test_a_template_without_free_descriptors_fails_the_start(
    with_preloaded: Callable[[str], Starter],
) -> None:
    """The system drops those that were sent; the child must not run without them."""
    text = """
import os, resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
try:
    while True:
        os.dup(0)
except OSError:
    pass
"""
    with with_preloaded(text) as starter:
        failed = starter.failed(starter.start())

    assert "no descriptors are left" in failed.error
    assert not failed.permanent


class _Refusing:
    """Sends of a link that raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: OSError | None = None
        real = TemplateLink.send

        def send(link: TemplateLink, request: bytes, descriptors: Sequence[int]) -> None:
            if self.error is not None:
                raise self.error
            real(link, request, descriptors)

        monkeypatch.setattr(TemplateLink, "send", send)


def test_what_cannot_be_sent_waits_while_there_are_answers_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system limits the descriptors under way, for all programs of a user."""
    sends = _Refusing(monkeypatch)
    with Starter(TemplateSource(program=ANSWER)) as starter:
        first = starter.start()
        sends.error = OSError(errno.ETOOMANYREFS, "too many references")
        second = starter.start()
        sends.error = None

        starter.started(first)
        starter.started(second)
        assert second.ask("'there'") == "there"


def test_what_can_never_be_sent_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where it is the first; with the events where it had to wait."""
    sends = _Refusing(monkeypatch)
    with Starter(TemplateSource(program=ANSWER)) as starter:
        sends.error = OSError(errno.EMSGSIZE, "too long")
        with pytest.raises(WorkerStartError, match="too long"):
            starter.start()
        sends.error = None
        first = starter.start()
        sends.error = OSError(errno.EMSGSIZE, "too long")
        second = starter.start()
        starter.started(first)
        first.sock.close()
        starter.ended(first)

        failed = [one for one in (*starter.seen, *starter.source.events()) if one[0] == 2]
    assert [type(one) for one in failed] == [Failed]
    assert second.number == 2


def test_a_start_that_has_to_wait_needs_descriptors_of_its_own() -> None:
    """Where there are none left, nothing is left behind."""
    source = TemplateSource(program=ANSWER)
    with Starter(source) as starter:
        for _ in range(16):
            starter.start()
        child = Child(99)
        fds = ChildFds(child.theirs.fileno(), child.page, 1 << 20)

        with pytest.raises(WorkerStartError, match="Bad file descriptor"):
            source.start(99, fds)

        child.given()
        child.close()


def test_a_closed_source_closes_what_waits() -> None:
    """A pool may be shut down while its children are still to come."""
    with Starter(TemplateSource(program=ANSWER)) as starter:
        for _ in range(20):
            starter.start()


def test_a_template_that_sends_something_else_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a bug, and it is not passed over."""
    source = TemplateSource(program=ANSWER)
    with Starter(source) as starter:
        starter.start().ask("1")
        with monkeypatch.context() as patch:
            patch.setattr(TemplateLink, "receive", lambda _: (("started", "one", 2), -1))
            with pytest.raises(ProtocolError, match="started"):
                source.events()


def test_no_descriptors_for_a_template_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves none behind."""

    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    with Starter(TemplateSource(program=ANSWER)) as starter:
        with monkeypatch.context() as patch:
            child = Child(7)
            patch.setattr(os, "pipe", refuse)
            with pytest.raises(WorkerStartError, match="Too many open files"):
                starter.source.start(7, child.fds())
        child.given()
        child.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [(None, "status unknown"), (3, "exit code 3"), (-9, "SIGKILL"), (-41, "signal 41")],
)
def test_how_a_process_ended_is_said_in_words(status: int | None, words: str) -> None:
    """A person reads it."""
    assert how_it_ended(status) == words
