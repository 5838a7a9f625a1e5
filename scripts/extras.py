"""Run the tests of the optional extras with what they need: ``make extras``.

    python3 -m scripts.extras [ARGUMENT ...]

Libraries that take an executor, languages of the examples and the other type checker are not
installed where ``make test`` runs, and their tests are skipped there by name. Here all of them
are installed, in the versions of constraints.txt, into an environment of their own in
``.venvs/``; then the files in `FILES` run, and whatever is skipped though its package is there
fails the run (`scripts.extras_skips`). Arguments go to pytest.

On a build without the GIL, a package that does not install is left out, by name; on others
that fails the run. The status is 75 where nothing ran because the package index cannot be
reached. Standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from functools import partial
from typing import TYPE_CHECKING, Any

from scripts import in_env

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ("EXTRAS", "FILES", "NOT_RUN", "main", "requirements")

EXTRAS = ("interop", "examples", "types")
FILES = (
    "tests/unit/runtime/interop/test_executor_users.py",
    "tests/unit/runtime/interop/test_executor_notebooks.py",
    "tests/unit/examples/test_lua.py",
    "tests/unit/examples/test_clojure.py",
    "tests/unit/test_typing.py",
    "tests/unit/test_docs_examples.py",
)
NOT_RUN = 75  # as in sysexits.h: try again later
WHEELS_ONLY = "grpcio,ast-serialize"  # built from source they take minutes, or a Rust compiler
NO_INDEX = re.compile(
    r"connection broken|could not fetch url|connection ?error|connection refused|reset by peer"
    r"|name resolution|unreachable|timed? ?out|proxyerror|http error 5\d\d|\b50[234] ",
    re.IGNORECASE,
)


def main(arguments: Sequence[str]) -> int:
    """Make the environment if it is not there as it should be, run the tests in it."""
    project = tomllib.loads((in_env.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        bin_folder = in_env.ensure("extras", project, partial(make, project), WHEELS_ONLY)
    except subprocess.CalledProcessError as error:
        return explain(error, in_env.folder_of("extras"), requirements(project))
    strict = ["-p", "scripts.extras_skips", "-p", "no:cacheprovider"]
    return in_env.run(["python", "-m", "pytest", *strict, *FILES, *arguments], bin_folder)


def requirements(project: dict[str, Any]) -> list[str]:  # Any: what TOML may hold
    """Return what the extras ask for, but for this project itself with what its tests need."""
    extras = project["project"]["optional-dependencies"]
    itself = project["project"]["name"] + "["
    wanted = (each for extra in EXTRAS for each in extras[extra] if not each.startswith(itself))
    return list(dict.fromkeys(wanted))


def make(project: dict[str, Any], folder: Path) -> None:  # Any: as above
    """Make the environment of the tests, and add to it; raise CalledProcessError."""
    in_env.make(folder, project, "test")
    install = [*in_env.installer(folder), "--only-binary", WHEELS_ONLY]
    wanted = requirements(project)
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        subprocess.run([*install, *wanted], check=True)
        return
    for requirement in wanted:  # not all have wheels for it, or can be built
        try:
            subprocess.run([*install, requirement], check=True, capture_output=True)
        except subprocess.CalledProcessError:
            if index_is_missing(folder, [requirement]):
                raise
            print(f"not available here, going on without: {requirement}", file=sys.stderr)


def explain(error: subprocess.CalledProcessError, folder: Path, wanted: Sequence[str]) -> int:
    """Say why there is no environment; return the status that tells it apart."""
    if index_is_missing(folder, wanted):
        print("NOT RUN: the package index cannot be reached", file=sys.stderr)
        return NOT_RUN
    command = " ".join(map(str, error.cmd))
    print(f"cannot install the extras: {command} ended with {error.returncode}", file=sys.stderr)
    return 1


def index_is_missing(folder: Path, wanted: Sequence[str]) -> bool:
    """Tell whether the index, asked for *wanted*, does not answer; nothing is installed."""
    if not (
        in_env.programs_of(folder) / "python"
    ).exists():  # it is the environment that could not be made
        return False
    ask = [*in_env.pip(folder), "install", "-q", "--disable-pip-version-check", "--no-input"]
    ask += ["--dry-run", "--no-deps", "--ignore-installed", "--no-cache-dir"]
    ask += ["--retries", "1", "--timeout", "15", "--only-binary", ":all:"]
    ended = subprocess.run([*ask, *wanted], check=False, capture_output=True, text=True)
    return bool(ended.returncode and NO_INDEX.search(ended.stdout + ended.stderr))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
