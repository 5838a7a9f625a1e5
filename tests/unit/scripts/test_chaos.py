"""A short run of chaos; `make chaos` is the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import runtime

ROOT: Final = Path(__file__).resolve().parents[3]
SOURCE: Final = str(Path(runtime.__file__).parents[1])

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets limits of others"),
]


@pytest.mark.timeout(80)
def test_every_job_has_one_outcome_and_nothing_is_left_whatever_happens_to_the_workers(
    tmp_path: Path,
) -> None:
    """It says which seed it had, what happened, and by its status whether everything held."""
    out = tmp_path / "out"
    with out.open("w") as file:  # no pipe: a worker that is left would hold it open
        done = subprocess.run(
            [sys.executable, "-m", "scripts.chaos", "--seconds", "5", "--seed", "7"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=75,
        )

    text = out.read_text()
    assert done.returncode == 0, text
    assert text.startswith("chaos: seed 7, 5 s\n")
    assert text.endswith("held\n")
