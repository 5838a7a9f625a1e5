"""The tests of the extras: each one is in the list, and none is skipped unseen."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import extras, extras_skips, in_env

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = tomllib.loads((in_env.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [extras_skips.name_of(each) for each in extras.requirements(PROJECT)]
MODULES = [extras_skips.module_of(package) for package in PACKAGES]
INSTALLED = {"botocore", "grpc", "pyright"}
FILES = [in_env.ROOT / file for file in extras.FILES]


@pytest.mark.parametrize("module", MODULES)
def test_each_package_is_needed_by_a_file_that_runs(module: str) -> None:
    """What is installed and never used would be a test that somebody forgot."""
    assert any(re.search(rf"\b{module}\b", file.read_text(encoding="utf-8")) for file in FILES)


def test_no_other_file_waits_for_one_of_them() -> None:
    """It would be skipped everywhere."""
    wanted = re.compile(rf"(importorskip|find_spec|name=)\W+({'|'.join(MODULES)})\b")
    found = [
        file
        for file in (in_env.ROOT / "tests").rglob("test_*.py")
        if wanted.search(file.read_text(encoding="utf-8"))
    ]

    assert found
    assert set(found) <= set(FILES)


def test_each_of_them_has_an_exact_version() -> None:
    """The step must not fail one morning because somebody else made a release."""
    text = in_env.CONSTRAINTS.read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)

    assert set(PACKAGES) <= set(pinned)


@pytest.mark.parametrize(
    ("reason", "missing", "excused"),
    [
        ("could not import 'grpc': No module named 'grpc'", ["grpc"], True),
        ("could not import 'dask.threaded': no luck", ["dask"], True),
        ("IPython or tqdm is not installed", ["tqdm"], True),
        ("could not import 'grpc': No module named 'grpc'", ["mypy"], False),
        ("could not import 'botocore.stub': no luck", ["mypy"], False),
        ("pyright cannot run here: the package needs node", [], False),
        ("PySide6 is not installed", [], True),
        ("there is no display", [], True),
    ],
)
def test_only_what_is_missing_excuses(reason: str, missing: list[str], excused: bool) -> None:
    """A package that is there and cannot be imported is what the step is to find."""
    assert extras_skips.is_excused(reason, missing, INSTALLED) is excused


def test_what_is_installed_is_not_missing() -> None:
    """By the package's name, not the module's."""
    assert extras_skips.absent(["pytest", "no-such-package"]) == ["no-such-package"]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("of_a_file", [False, True])
def test_a_skip_without_an_excuse_fails_the_run(tmp_path: Path, of_a_file: bool) -> None:
    """Single tests, and files as a whole."""
    head = "import pytest\n" + (
        "pytest.skip('pytest is not installed', allow_module_level=True)\n" if of_a_file else ""
    )
    body = (
        "def test_one():\n    pass\ndef test_two():\n    pytest.skip('pytest is not installed')\n"
    )
    file = tmp_path / "test_skipped.py"
    file.write_text(head + body, encoding="utf-8")

    plugins = ["-p", "scripts.extras_skips", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--rootdir", str(in_env.ROOT), str(file)],
        cwd=in_env.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "SKIPPED THOUGH INSTALLED: " in ended.stdout


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("Retrying after connection broken by 'NewConnectionError(...)'", True),
        ("ERROR: HTTP error 503 while getting it", True),
        ("ERROR: No matching distribution found for tornado==0.0", False),
    ],
)
def test_a_missing_index_is_told_from_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, missing: bool
) -> None:
    """The first is nobody's fault here, the second is to be mended."""

    def answer(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--dry-run" in command
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", answer)
    error = subprocess.CalledProcessError(1, ["pip", "install"])

    status = extras.explain(error, Path(sys.prefix), ["tornado"])

    assert status == (extras.NOT_RUN if missing else 1)
    assert ("NOT RUN" in capsys.readouterr().err) is missing
