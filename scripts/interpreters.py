"""List the other CPythons on this machine that the project supports.

    python3 scripts/interpreters.py

Prints one line for each supported version except the one that runs this: the version's name
(``3.13``, ``3.13t`` for the free-threaded build), a tab, and then the full version and the
path, or ``-`` and ``-`` where none was found that starts. Which versions are supported is
read from the classifiers in pyproject.toml. Looks on PATH, in ``~/.pyenv`` and ``/opt/python``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("candidates", "main", "probe", "supported")

ROOT = Path(__file__).resolve().parent.parent
FIRST_FREE_THREADED = 13  # 3.13 is the first with a build without the GIL
LIMIT = 20  # seconds that an interpreter may take to say who it is

# What an interpreter says of itself; it must also be able to make an environment.
QUESTION = """
import sys, sysconfig, venv, zlib
free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(sys.implementation.name, *sys.version_info[:3], free_threaded or "-")
"""


def supported() -> list[str]:
    """Return the names of the supported versions, free-threaded builds last."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classifiers = tomllib.loads(text)["project"]["classifiers"]
    pattern = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
    minors = sorted(int(found[1]) for line in classifiers if (found := pattern.fullmatch(line)))
    with_gil = [f"3.{minor}" for minor in minors]
    return with_gil + [f"3.{minor}t" for minor in minors if minor >= FIRST_FREE_THREADED]


def candidates(name: str) -> Iterator[Path]:
    """Yield the programs that may be the version *name*, the likeliest first."""
    folders = [Path(folder) for folder in os.get_exec_path() if folder]
    for pattern in (Path.home() / ".pyenv/versions", Path("/opt/python")):
        folders += sorted(pattern.glob("*/bin"), key=newest_first)
    for folder in folders:
        program = folder / f"python{name}"
        if os.access(program, os.X_OK):
            yield program


def newest_first(folder: Path) -> list[int]:
    """Sort ``3.13.10`` before ``3.13.9``."""
    return [-int(number) for number in re.findall(r"\d+", folder.parent.name)]


def probe(program: Path) -> tuple[str, str] | None:
    """Return the name and the full version of *program*, or None: not a CPython that starts."""
    try:
        answer = subprocess.run(
            [str(program), "-c", QUESTION],
            capture_output=True,
            check=True,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
        )
        kind, major, minor, micro, suffix = answer.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if kind != "cpython":
        return None
    suffix = suffix.removeprefix("-")
    return f"{major}.{minor}{suffix}", f"{major}.{minor}.{micro}{suffix}"


def main() -> int:
    """Print the list."""
    this = probe(Path(sys.executable))
    for name in supported():
        if this is not None and this[0] == name:
            continue
        for program in candidates(name):
            found = probe(program)
            if found is not None and found[0] == name:
                print(name, found[1], program, sep="\t")
                break
        else:
            print(name, "-", "-", sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())
