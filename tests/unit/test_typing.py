"""What type checkers make of the package: results keep their types, mistakes are seen.

The programs in `tests/typing` say with ``assert_type`` what each expression is; where one must be
refused, an ignore comment says so, and both checkers are told to refuse a needless one.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
COMMANDS: Final = {
    "mypy": ("mypy", "tests/typing"),
    "pyright": ("pyright", "--project", "pyproject.toml", "--pythonpath", sys.executable),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a checker, which asks nobody for a newer one of its kind."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
    )


@pytest.mark.slow
@pytest.mark.timeout(85)  # mypy has no cache at first, and looks at the whole package
@pytest.mark.parametrize("checker", COMMANDS)
def test_results_keep_their_types(checker: str) -> None:
    """Strict, and with both: they do not infer alike."""
    if not list(importlib.metadata.distributions(name=checker)):
        pytest.skip(f"{checker} is not installed")
    if run(checker, "--version").returncode:
        pytest.skip(f"{checker} cannot run here: the package needs node")

    ended = run(*COMMANDS[checker])

    assert ended.returncode == 0, ended.stdout + ended.stderr
