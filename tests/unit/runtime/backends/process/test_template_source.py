"""Children of a template: its death, its children's trouble, its modules' threads."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import template_source
from runtime.backends.process.starting import Ended, Lost
from runtime.backends.process.template_source import TemplateSource
from tests.unit.runtime.backends.process.starting_tools import ANSWER, Starter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="fork")]


@pytest.fixture
def source() -> TemplateSource:
    return TemplateSource(program=ANSWER)


@pytest.fixture
def starter(source: TemplateSource) -> Iterator[Starter]:
    with Starter(source) as found:
        yield found


def kill_template(source: TemplateSource) -> None:
    """Kill it."""
    assert source.template_pid is not None
    os.kill(source.template_pid, signal.SIGKILL)


def lost(starter: Starter) -> Lost:
    """Wait until the template is lost."""
    event = starter.event(lambda one: isinstance(one, Lost))
    assert isinstance(event, Lost)
    return event


def test_children_are_forks_of_one_template(starter: Starter, source: TemplateSource) -> None:
    """It is what makes them quick to start."""
    assert source.template_pid is None
    parents = {starter.start().ask("os.getppid()") for _ in range(3)}

    assert parents == {source.template_pid}


def test_a_dead_template_is_replaced_and_its_children_run_on(
    starter: Starter, source: TemplateSource
) -> None:
    """Somebody kills by name, or memory runs out."""
    child = starter.start()
    starter.started(child)
    before = source.template_pid
    descriptor = source.fileno()

    kill_template(source)
    reason = lost(starter).reason
    another = starter.start()

    assert "SIGKILL" in reason
    assert child.ask("'alive'") == "alive"
    assert another.ask("os.getppid()") == source.template_pid != before
    assert source.fileno() == descriptor
    child.sock.close()
    assert starter.ended(child) == Ended(child.number, None, None)  # nobody can know


def test_starts_that_a_dying_template_has_not_answered_fail(
    starter: Starter, source: TemplateSource
) -> None:
    """Each start has an answer, so that no job waits for a child that never comes."""
    starter.start().ask("1")
    assert source.template_pid is not None
    os.kill(source.template_pid, signal.SIGSTOP)
    children = [starter.start() for _ in range(20)]  # more than are under way at a time

    kill_template(source)

    for child in children:
        failed = starter.failed(child)
        assert "has died (SIGKILL)" in failed.error
        assert not failed.permanent
    lost(starter)


def test_an_end_that_was_asked_for_is_told_when_the_template_dies(
    starter: Starter, source: TemplateSource
) -> None:
    """The template dies with the status of a child that has ended."""
    child = starter.start()
    started = starter.started(child)
    assert source.template_pid is not None
    os.kill(source.template_pid, signal.SIGSTOP)
    os.kill(started.pid, signal.SIGKILL)
    assert source.reap(child.number) is None

    kill_template(source)

    event = starter.event(lambda one: isinstance(one, Ended))
    assert event == Ended(child.number, None, None)


def test_a_child_that_cannot_reach_its_program_has_failed_and_nothing_more(
    starter: Starter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job must not run in another folder than the one that its author thinks of."""
    starter.start().ask("1")
    with monkeypatch.context() as patch:
        patch.setattr(template_source, "folder", lambda: str(tmp_path / "gone"))
        child = starter.start()
    failed = starter.failed(child)
    another = starter.start()
    starter.started(another)
    another.sock.close()
    starter.ended(another)

    assert "FileNotFoundError" in failed.error
    assert not failed.permanent
    assert not any(isinstance(event, Ended) for event in starter.seen)


def test_a_preloaded_module_with_threads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork of a process with threads may hang, in one run of a thousand."""
    (tmp_path / "preloaded_thread.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='of theirs', daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    with Starter(TemplateSource(["preloaded_thread"], program=ANSWER)) as starter:
        failed = starter.failed(starter.start())

    assert failed.permanent
    assert "of theirs" in failed.error
    assert "start_method='spawn'" in failed.error


def test_a_preloaded_module_that_ends_the_process_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason tells where to look."""
    (tmp_path / "preloaded_exit.py").write_text("import os; os._exit(7)")
    monkeypatch.syspath_prepend(str(tmp_path))

    with Starter(TemplateSource(["preloaded_exit"], program=ANSWER)) as starter:
        failed = starter.failed(starter.start())
        reason = lost(starter).reason

    assert failed.error == reason
    assert "exit code 7" in reason
    assert "preloaded_exit" in reason


def test_what_a_preloaded_module_leaves_for_the_end_happens_once_in_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It removes a folder that all children use, or it says goodbye."""
    (tmp_path / "preloaded_end.py").write_text(
        "import atexit, os, signal\n"
        "print('imported ', end='')\n"
        "signal.signal(signal.SIGTERM, print)\n"
        "atexit.register(print, 'ended')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    with Starter(TemplateSource(["preloaded_end"], program=ANSWER)) as starter:
        for _ in range(2):
            child = starter.start()
            starter.started(child)
            assert child.ask("int(signal.getsignal(signal.SIGTERM))") == signal.SIG_DFL
            child.sock.close()
            starter.ended(child)

    assert capfd.readouterr() == ("imported ended\n", "")


def test_a_template_that_does_not_react_is_killed(
    starter: Starter, source: TemplateSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a pool takes a bounded time."""
    monkeypatch.setattr(template_source, "_PATIENCE", 0.01)
    child = starter.start()
    starter.started(child)
    assert source.template_pid is not None
    os.kill(source.template_pid, signal.SIGSTOP)

    source.close()

    assert source.template_pid is None
