"""The demonstration's part on processes: what it counts, and that it outlives a killed process."""

from __future__ import annotations

import ast
import io
import logging
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from examples.stdlib_complexity import main
from runtime.clock import SYSTEM_CLOCK
from runtime.demo import survey as survey_part
from runtime.demo.program import Demo
from runtime.demo.report import describe_syntax
from runtime.demo.session import DIFFERENT, FAILED, INTERRUPTED, OK, Session, Settings, Verdict
from runtime.demo.survey import Survey
from runtime.demo.sweep import Work
from runtime.demo.syntax import ModuleSurvey, add_up, survey_module, survey_source
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES: Final = {
    "a.py": "def f(x):\n    return 1 if x else 2\n",
    "b.py": "class B:\n    def g(self):\n        pass\n",
    "c.py": "print 'two'\n",
    "sub/d.py": "x = [y for y in range(3) if y]\n",
    "sub/note.txt": "no module",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "lib"
    for name, text in MODULES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def survey(
    folder: Path,
    *,
    chaos: bool = False,
    in_sequence: Callable[[Path, str], ModuleSurvey] = survey_module,
) -> tuple[Verdict, str, str]:
    """Run this part; return the verdict, the report, and what was complained about."""
    out, err = io.StringIO(), io.StringIO()
    session = Session(Settings(folder, workers=1, chaos=chaos), out, err, SYSTEM_CLOCK)
    verdict = Survey(session, in_sequence=in_sequence).run()
    return verdict, out.getvalue(), err.getvalue()


def die(_name: str) -> int:
    """End this process, as a fault in native code would."""
    os._exit(3)


# ---- one module -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("while a and b or c: pass", 4),
        ("for i in a: pass\n else: pass", 2),
        ("try: pass\n except A: pass\n except B: pass\n finally: pass", 3),
        ("assert a", 2),
        ("with a: pass", 1),
        ("return [i for i in a if b if c for j in i]", 5),
        ("return lambda: 1 if a else 2", 2),
        ("match a:\n  case 1: pass\n  case 2: pass\n  case _: pass", 3),
        ("match a:\n  case _ if b: pass", 2),
    ],
)
def test_complexity_counts_the_ways_through(body: str, complexity: int) -> None:
    """One, and one more for each decision."""
    functions = survey_source(f"def f():\n {body}\n".encode()).functions

    assert [(one.line, one.name, one.complexity) for one in functions] == [(1, "f", complexity)]


def test_a_function_in_a_function_is_measured_by_itself() -> None:
    """What is hard about the one is not hard about the other."""
    source = b"""
if top:
    async def outer():
        def inner():
            return a or b or c
        if d:
            return inner
"""
    assert survey_source(source).functions == ((3, "outer", 2), (4, "inner", 3))


def test_the_kinds_are_those_that_the_standard_library_walks_over() -> None:
    """The walk by hand is faster, and misses nothing."""
    source = Path(ast.__file__).read_bytes()

    expected = Counter(type(node).__name__ for node in ast.walk(ast.parse(source)))

    assert survey_source(source).kinds == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"print 'two'", "SyntaxError: "),
        (b"# coding: no-such\n", "SyntaxError: "),
        (b"x = '\xff'", "SyntaxError: "),
        (b"x\0", "(SyntaxError|ValueError): "),
    ],
)
def test_what_cannot_be_parsed_is_counted(source: bytes, problem: str) -> None:
    """It is a file like others, and the report names it."""
    found = survey_source(source)

    assert re.match(problem, found.problem)
    assert (found.size, found.kinds, found.functions) == (len(source), {}, ())


def test_the_report_names_what_cannot_be_parsed_and_cuts_a_long_list() -> None:
    """All of it is counted; thousands of names would push the totals off the screen."""
    totals = add_up({f"{number:02}.py": survey_source(b"(") for number in range(12)})

    lines = list(describe_syntax(totals))

    assert lines[0] == "  files        12: 0 parsed, 12 not"
    assert lines[1].startswith("  not parsed   00.py: SyntaxError: ")
    assert lines[11] == "  not parsed   and 2 more"
    assert lines[12:] == ["  bytes        12", "  nodes        0: ", "  functions    0"]


# ---- all modules ------------------------------------------------------------------------------


@pytest.mark.process
def test_the_totals_of_the_processes_are_those_of_the_loop(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example alone, from its command line to its exit status."""
    status = main(["--folder", str(folder), "--workers", "2"])

    report = capsys.readouterr().out
    assert status == OK
    assert f" 4 modules below {folder}\n  files        4: 3 parsed, 1 not\n" in report
    assert "  not parsed   c.py: SyntaxError: " in report
    assert "  functions    2, cyclomatic complexity 1.50 on average, 0 above 10\n" in report
    assert "  highest      2 in f, a.py:1\n  on 2 workers " in report
    assert "  backend      process, 2 at once, 0 abandoned\n" in report
    assert re.search(r"\n  both runs    identical\nok, after [0-9.]+ s\n$", report)


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_process_changes_no_total(folder: Path) -> None:
    """Its job is run again, the report tells so, and the log does not hide in the progress."""
    calm = survey(folder)

    verdict, report, complaints = survey(folder, chaos=True)

    assert calm[0] == verdict == Verdict(OK, "ok")
    assert "  chaos        the process that takes c.py is killed\n" in report
    assert re.search(
        r"  crashed      c\.py: process \d+ ended by SIGKILL, run again: done\n", report
    )
    assert "0 abandoned, 1 died and replaced\n" in report
    assert "5 done: 4 succeeded, 1 failed" in report
    assert "failed " not in complaints
    counted = [line for line in calm[1].splitlines() if re.match("  (files|nodes|func)", line)]
    assert counted
    assert set(counted) <= set(report.splitlines())


@pytest.mark.slow
@pytest.mark.process
def test_a_job_that_kills_every_process_fails_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more is enough; the others have their results. Its log lines go to the report."""
    monkeypatch.setattr(logging.getLogger("runtime"), "propagate", False)  # nobody else takes them
    err = io.StringIO()
    session = Session(Settings(folder), io.StringIO(), err, SYSTEM_CLOCK)

    with WorkerPool(1, backend="process") as pool:
        once = session.sweep(pool, "die", ["x"], Work(die, int))
        twice = session.sweep(pool, "die", ["y"], Work(die, int, again=die))
        fine = session.sweep(pool, "live", ["z"], Work(die, int, again=len))

    assert [one.name for one in once.failures + twice.failures] == ["x", "y"]
    assert all("exited with code 3" in one.reason for one in once.failures + twice.failures)
    assert [len(swept.crashes) for swept in (once, twice, fine)] == [0, 1, 1]
    assert fine.results == {"z": 1}
    assert logging.getLogger("runtime").handlers == []
    assert "a worker process crashed" in err.getvalue()


@pytest.mark.process
def test_different_totals_are_told_by_the_exit_status(folder: Path) -> None:
    """That is what the second run is for."""

    def miscount(where: Path, name: str) -> ModuleSurvey:
        return survey_source(b"pass" if name == "a.py" else (where / name).read_bytes())

    verdict, report, complaints = survey(folder, in_sequence=miscount)

    assert verdict == (DIFFERENT, "the totals differ")
    assert "  DIFFERENT    a.py\n" in complaints
    assert "identical" not in report


@pytest.mark.process
def test_a_module_that_is_gone_for_the_run_in_sequence_is_named(folder: Path) -> None:
    """It failed; it is not different."""

    def lose(where: Path, name: str) -> ModuleSurvey:
        return survey_module(where, "gone.py" if name == "a.py" else name)

    verdict, report, complaints = survey(folder, in_sequence=lose)

    assert verdict.status == FAILED
    assert "  failed       a.py: FileNotFoundError: No such file or directory\n" in complaints
    assert "  both runs    identical, but for the 1 that failed\n" in report


def test_the_worst_part_decides_the_exit_status(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference in the survey is not made good by what comes after it."""
    monkeypatch.setattr(Survey, "run", lambda _: Verdict(DIFFERENT, "the totals differ"))
    out = io.StringIO()

    status = Demo(Settings(folder, with_guest=False), out=out, err=io.StringIO()).run()

    assert status == DIFFERENT
    assert "\nthe totals differ, after " in out.getvalue()


@pytest.mark.process
@pytest.mark.parametrize(("options", "found"), [((), 4), (("--tests",), 5)])
def test_the_interpreters_own_tests_are_parsed_where_that_is_asked_for(
    folder: Path, options: tuple[str, ...], found: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are larger than the library, and a demonstration should be quick."""
    (folder / "test").mkdir()
    (folder / "test" / "test_a.py").write_text("def test_f(): pass\n", encoding="utf-8")

    status = main(["--folder", str(folder), "--workers", "1", *options])

    assert status == OK
    assert f": {found} modules below {folder}\n" in capsys.readouterr().out


def test_without_modules_no_process_is_started(tmp_path: Path) -> None:
    """There is nothing to compare, and that is said."""
    verdict, report, _ = survey(tmp_path)

    assert verdict == (OK, "ok")
    assert report.endswith(f" 0 modules below {tmp_path}\n  nothing to parse\n")


def test_a_system_without_process_workers_leaves_this_part_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the other parts decide how it ends."""
    monkeypatch.setattr(survey_part, "_IS_SUPPORTED", False)

    verdict, report, _ = survey(folder)

    assert (verdict.status, report) == (OK, f"{survey_part.NOT_HERE}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
@pytest.mark.process
def test_ctrl_c_ends_it_with_the_status_for_that(folder: Path) -> None:
    """The processes end with it."""

    class Impatient(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("on 1 worker:"):
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings(folder, workers=1, with_digests=False, with_guest=False)
    try:
        status = Demo(settings, out=io.StringIO(), err=Impatient()).run()
    finally:
        signal.signal(signal.SIGINT, before)

    assert status == INTERRUPTED
