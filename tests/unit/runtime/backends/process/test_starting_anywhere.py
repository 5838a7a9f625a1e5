"""Children of programs in any state: what they closed, ignore, changed, or put beside them."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.runtime.backends.process.starting_tools import GUARD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="pidfds"),
]

_PRELUDE: Final = """
import sys
sys.path += {path!r}
import json, os, resource, signal
from runtime.backends.process.spawn_source import SpawnSource
from runtime.backends.process.template_source import TemplateSource
from runtime.errors import WorkerStartError
from tests.unit.runtime.backends.process.starting_tools import ANSWER, Starter, wait_readable
source = {source}(program=ANSWER)
"""


def program(source: str, text: str) -> str:
    """Return a program that has *source*, and no guard, and does what *text* says."""
    return _PRELUDE.format(path=sys.path, source=source) + textwrap.dedent(text)


def run(
    words: Sequence[str], folder: Path | None = None, *, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter with *words*."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD * 2,
    )


BOTH: Final = pytest.mark.parametrize("source", ["TemplateSource", "SpawnSource"])
_ANSWERS: Final = """
    with Starter(source) as starter:
        child = starter.start()
        print(child.ask("'the child of %d' % os.getppid()").split()[0])
        print(child.ask("len(sys.argv)"))
"""


@BOTH
@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_main_is_never_imported(source: str, how: str, tmp_path: Path) -> None:
    """A script without a guard starts no children of its own children, and stdin is no file."""
    text = program(source, _ANSWERS)
    script = tmp_path / "script.py"
    script.write_text(text)

    done = {
        "script": lambda: run([str(script)]),
        "-c": lambda: run(["-c", text]),
        "stdin": lambda: run(["-"], stdin=text),
    }[how]()

    assert (done.stdout, done.stderr, done.returncode) == ("the\n1\n", "", 0)


@BOTH
def test_no_module_of_the_working_directory_is_imported(source: str, tmp_path: Path) -> None:
    """Else whoever can write there runs code in our children."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    for name in ("pickle", "random", "socket", "threading", "traceback", "runtime", "marshal"):
        (here / f"{name}.py").write_text(f"print('{name} of the wrong folder')")
    script = elsewhere / "script.py"
    script.write_text(program(source, _ANSWERS))

    done = run([str(script)], here)

    assert (done.stdout, done.stderr) == ("the\n1\n", "")


@BOTH
def test_a_script_may_take_our_folder_out_of_its_path(source: str) -> None:
    """The package is loaded from where it was loaded first."""
    text = """
        sys.path[:] = [entry for entry in sys.path if not os.path.isdir(entry + "/runtime")]
        source = type(source)(program="runtime.errors:WorkerTimeoutError")
        with Starter(source) as starter:
            child = starter.start()
            starter.started(child)
            print(starter.ended(child).status)  # it was found; its arguments are wrong
    """
    done = run(["-c", program(source, text)])

    assert done.stdout == "1\n"
    assert "ModuleNotFoundError" not in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["-I"],
        ["-E", "-s"],
        ["-P", "-B", "-OO"],
        ["-X", "dev", "-X", "utf8=0", "-b"],
        ["-W", "error::UserWarning", "-W", "ignore:a b c"],
    ],
    ids=" ".join,
)
def test_flags_are_those_of_the_parent(flags: list[str]) -> None:
    """What was switched off for the program is not on in its children."""
    text = """
        def shown(flags):
            return [(name, getattr(flags, name)) for name in dir(flags) if name[0] != "_"
                    and name not in ("safe_path", "count", "index")]
        asked = '''[(name, getattr(sys.flags, name)) for name in dir(sys.flags) if name[0] != "_"
                    and name not in ("safe_path", "count", "index")]'''
        with Starter(source) as starter:
            child = starter.start()
            print(child.ask(asked.replace("\\n", " ")) == shown(sys.flags))
            print(child.ask("sys._xoptions") == sys._xoptions)
            print([one for one in child.ask("sys.warnoptions") if one in sys.warnoptions]
                  [-len(sys.warnoptions):] == sys.warnoptions if sys.warnoptions else True)
            print(child.ask("sys.flags.safe_path"))
    """
    done = run([*flags, "-c", program("TemplateSource", text)])

    assert (done.stdout, done.stderr) == ("True\nTrue\nTrue\nTrue\n", "")


@BOTH
@pytest.mark.parametrize(
    "trouble",
    [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())",
        "os.close(0)",
        "os.close(0); os.close(2)",
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
        "sys.argv = ['x', b'y', 'z' * 300_000]",
        "sys.path.append(b'bytes')",
        "sys.stdout.flush(); sys.stdin = sys.stderr = None",
        "os.environ['PYTHONINSPECT'] = '1'",
    ],
)
def test_a_program_in_a_strange_state_gets_its_children(
    source: str, trouble: str, tmp_path: Path
) -> None:
    """What a program did to its process is no reason not to start one."""
    text = f"""
        {trouble}
        with Starter(source) as starter:
            child = starter.start()
            sys.stdout.write(str(child.ask("int(signal.getsignal(signal.SIGCHLD))")))
            sys.stdout.write(str(child.ask("len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))")))
            sys.stdout.flush()
            child.sock.close()
    """
    done = run(["-c", program(source, text)], tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("00", "", 0)


@BOTH
def test_closed_standard_streams_are_not_taken_over_by_channels(
    source: str, tmp_path: Path
) -> None:
    """The socket of a pool would have their numbers, and what a job prints would go there."""
    text = """
        result = open("result", "w", closefd=True)
        for number in (0, 1, 2):
            os.close(number)
        with Starter(source) as starter:
            child = starter.start()
            print(child.ask("[os.readlink('/proc/self/fd/%d' % one) for one in (0, 1, 2)]"),
                  child.ask("min(one for one in fds if one >= 0) > 2"), file=result)
        result.close()
    """
    done = run(["-c", program(source, text)], tmp_path)

    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == f"{[os.devnull] * 3} True\n"


@BOTH
def test_too_few_descriptors_are_an_error_and_it_works_again(source: str) -> None:
    """A limit is reached for a moment only."""
    text = """
        with Starter(source) as starter:
            _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            from tests.unit.runtime.backends.process.starting_tools import Child
            child = Child(100)
            used = max(map(int, os.listdir("/proc/self/fd")))
            for more in range(8):
                resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))
                try:
                    source.start(100 + more, child.fds())
                except WorkerStartError as error:
                    assert "Too many open files" in str(error), error
                else:
                    break
            print(more > 0, flush=True)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            child.given()
            print(starter.start().ask("'again'"))
            child.close()
    """
    done = run(["-c", program(source, text)])

    assert (done.stdout, done.stderr) == ("True\nagain\n", "")


@BOTH
def test_nothing_is_said_in_arguments_or_environment(source: str) -> None:
    """Every user of the machine may read the arguments."""
    text = """
        with Starter(source) as starter:
            child = starter.start()
            words = child.ask("open('/proc/self/cmdline').read().split(chr(0))")
            names = child.ask("sorted(os.environ)")
            print(words[-2].isdigit(), any(entry and entry in one for entry in sys.path
                                           for one in words[1:]), names == sorted(os.environ))
            print(child.ask("open('/proc/net/unix').read().count('@vela')"))
    """
    done = run(["-c", program(source, text)])

    assert (done.stdout, done.stderr) == ("True False True\n0\n", "")


@BOTH
@pytest.mark.parametrize("with_fork", [False, True], ids=["alone", "with a forked copy"])
def test_killing_the_parent_ends_children_and_template(source: str, with_fork: bool) -> None:
    """Also while a copy that the parent has forked lives on."""
    text = f"""
        with Starter(source) as starter:
            children = [starter.start() for _ in range(2)]
            pids = [child.ask("os.getpid()") for child in children]
            pids += [getattr(source, "template_pid", pids[0])]
            if {with_fork}:
                if not os.fork():
                    for child in children:
                        os.close(child.lifeline)
                    try:
                        starter.start()
                    except WorkerStartError:
                        pids += [os.getpid()]
                    print(*pids, flush=True)
                    signal.pause()
            else:
                print(*pids, flush=True)
            signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", program(source, text)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        copies = pids[3:]
        assert len(copies) == with_fork
        pidfds = [os.pidfd_open(pid) for pid in pids[:3]]

        parent.kill()
        try:
            for descriptor in pidfds:
                waiting = select.poll()
                waiting.register(descriptor, select.POLLIN)
                assert waiting.poll(GUARD * 1000)
        finally:
            for descriptor in pidfds:
                os.close(descriptor)
            for pid in copies:
                os.kill(pid, signal.SIGKILL)


@BOTH
def test_a_forked_copy_of_the_parent_can_end_and_leaves_the_children_alone(source: str) -> None:
    """Its interpreter takes everything apart that it has inherited."""
    text = """
        with Starter(source) as starter:
            child = starter.start()
            starter.started(child)
            child.ask("1")
            pid = os.fork()
            if not pid:
                sys.exit(0)
            print(os.waitpid(pid, 0)[1], child.ask("'alive'"), starter.start().ask("'another'"))
    """
    done = run(["-W", "error", "-c", program(source, text)])

    assert done.stdout == "0 alive another\n"
    assert not re.search("Error|Warning", done.stderr)


@BOTH
def test_a_keyboard_interrupt_for_all_prints_nothing_in_children(source: str) -> None:
    """Also where it comes while they start."""
    text = """
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, lambda *_: None)
        with Starter(source) as starter:
            child = starter.start()
            for _ in range(20):
                os.killpg(0, signal.SIGINT)
            print(child.ask("'alive'"))
            os.killpg(0, signal.SIGINT)
            print(child.ask("'alive'"))
    """
    done = run(["-c", program(source, text)])

    assert (done.stdout, done.stderr) == ("alive\nalive\n", "")


@BOTH
def test_programs_that_a_child_starts_do_not_ignore_the_keyboard_interrupt(source: str) -> None:
    """Or they would outlive the program as orphans that no Ctrl-C ends."""
    text = """
        asked = "os.popen('grep SigIgn /proc/self/status').read().split()[1]"
        with Starter(source) as starter:
            print(int(starter.start().ask(asked), 16) & 2)
    """
    done = run(["-c", program(source, text)])

    assert (done.stdout, done.stderr) == ("0\n", "")
