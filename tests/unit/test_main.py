"""``python -m runtime``: the commands, and what a shell sees of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

import runtime
from runtime import cli

GUARD: Final = 20.0  # seconds; only a hang takes so long
WITH_US: Final = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])}


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types the name alone wants to know what it can do."""
    assert cli.main([]) == 0

    written = capsys.readouterr().out
    assert written.startswith("usage: python -m runtime ")
    assert re.search(r"^ +demo +digest", written, re.MULTILINE)
    assert re.search(r"^ +info +show", written, re.MULTILINE)


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    """A clone tells its own version, whatever is installed beside it."""
    assert cli.main(["--version"]) == 0

    assert re.fullmatch(r"vela-runtime \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_an_installed_package_tells_the_installed_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a clone the installer has noted it."""
    monkeypatch.setattr(metadata, "version", lambda name: f"9.9 of {name}")

    assert cli.find_version(tmp_path / "runtime") == "9.9 of vela-runtime"


def test_a_copied_package_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody installed it, so nobody knows."""

    def refuse(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", refuse)

    assert cli.find_version(tmp_path / "runtime") == "unknown"


def test_info_shows_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Version, interpreter, GIL, workers, backends: one command to paste from."""
    assert cli.main(["info"]) == 0

    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(shown) == ["vela-runtime", "python", "platform", "workers", "backend", "location"]
    assert re.fullmatch(r"CPython \d+\.\d+\.\S+, GIL (on|off)", shown["python"])
    assert re.fullmatch(r"\d+ by default", shown["workers"])
    assert shown["backend"].startswith(("thread by default", "inline by default"))


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--workers", "0", "'0' is not a whole number, 1 or more"),
        ("--limit", "many", "'many' is not a whole number, 1 or more"),
        ("--timeout", "nan", "'nan' is not a number of seconds, more than 0"),
        ("--timeout", "soon", "'soon' is not a number of seconds, more than 0"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    option: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything has begun, with the status that shells know for it."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", option, value])

    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_demo_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit status is the program's."""
    (tmp_path / "file").write_bytes(b"content")

    assert cli.main(["demo", "--no-guest", "--folder", str(tmp_path)]) == 0
    assert cli.main(["demo", "--no-guest", "--folder", str(tmp_path / "missing")]) == 3

    assert "  both runs    identical\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.process
def test_the_module_can_be_run() -> None:
    """As it is run by ``make demo``."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "demo", "--limit", "5", "--no-guest", "--quiet"],
        capture_output=True,
        text=True,
        timeout=GUARD,
        env=WITH_US,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok, after ")


@pytest.mark.slow
@pytest.mark.process
def test_a_reader_that_leaves_is_no_reason_for_a_traceback() -> None:
    """As in ``python -m runtime demo | head -1``."""
    command = [sys.executable, "-m", "runtime", "demo", "--limit", "50", "--no-guest"]
    pipe = subprocess.PIPE

    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=WITH_US) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        complaints = child.stderr.read()

    assert child.returncode == 141
    assert "Traceback" not in complaints
    assert "BrokenPipeError" not in complaints
