"""Run a command in a virtual environment of the project, made when it is first needed.

    python3 scripts/in_env.py EXTRA [COMMAND ...]

EXTRA is one of the optional dependencies in pyproject.toml. The environment lies in
``.venvs/``, one for each extra and interpreter, and holds the project itself (editable) and
what the extra asks for, in the versions of constraints.txt. It is made anew when one of
these changes, and is ready at once when none did. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import tomllib
except ModuleNotFoundError:  # came with Python 3.11
    sys.exit(
        "this project needs Python 3.11 or later, and "
        + sys.executable
        + " is older: name another one, as in 'make test PYTHON=python3.13'"
    )

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("main",)

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
WANTED_ONLY = frozenset({"bench"})  # extras whose packages may be missing: no wheel, no compiler


def main(arguments: Sequence[str]) -> int | str:
    """Make the environment that the first argument names; run the rest in it.

    Returns what `sys.exit` takes: a status, or a message that means failure.
    """
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    extra, command = arguments[0], list(arguments[1:])
    try:
        bin_folder = ready(extra)
    except subprocess.CalledProcessError as error:
        failed = " ".join(map(str, error.cmd))
        return f"cannot make the environment {extra!r}: {failed} ended with {error.returncode}"
    return run(command, bin_folder) if command else 0


def ready(extra: str) -> Path:
    """Return the folder of the environment's programs; make it if it is not as it should be."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = project["project"]["optional-dependencies"]
    if extra not in known:
        sys.exit(f"no extra {extra!r} in pyproject.toml: take one of {', '.join(sorted(known))}")
    return ensure(extra, project, lambda folder: make(folder, project, extra))


def ensure(
    name: str,
    project: dict[str, Any],  # Any: what TOML may hold
    build: Callable[[Path], object],
    more: str = "",
) -> Path:
    """Return the folder of the programs of environment *name*.

    *build* is called with its folder where it is not as *project*, and *more*, want it.
    """
    folder = folder_of(name)
    stamp, wanted = folder / "made-from", fingerprint(project, folder, more)
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making {folder.relative_to(ROOT)} (once) ...", file=sys.stderr, flush=True)
        stamp.unlink(missing_ok=True)
        build(folder)
        stamp.write_text(wanted, encoding="utf-8")  # last: a cut-off attempt is made again
    return programs_of(folder)


def folder_of(name: str) -> Path:
    """Return where environment *name* of this interpreter lies."""
    return ROOT / ".venvs" / f"{name}-{interpreter()}"


def programs_of(folder: Path) -> Path:
    """Return the folder of the programs of the environment in *folder*."""
    return folder / ("Scripts" if os.name == "nt" else "bin")


def interpreter() -> str:
    """Return what tells this interpreter from others, such as ``cpython-3.13.5t``."""
    free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{sys.implementation.name}-{platform.python_version()}{free_threaded}"


def fingerprint(project: dict[str, Any], folder: Path, more: str) -> str:  # Any: as above
    """Return a digest of everything that the environment is made from."""
    parts = (
        json.dumps([project["build-system"], project["project"]], sort_keys=True),
        CONSTRAINTS.read_text(encoding="utf-8"),
        Path(__file__).read_text(encoding="utf-8"),
        sys.version,
        sys.base_prefix,
        str(folder),
        more,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make(folder: Path, project: dict[str, Any], extra: str) -> None:  # Any: as above
    """Make the environment and install into it; raise CalledProcessError where that fails."""
    shutil.rmtree(folder, ignore_errors=True)
    own = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]  # see `pip`
    subprocess.run([sys.executable, "-m", "venv", *own, str(folder)], check=True)
    # The builder comes first and is then used as it is (no isolation), because constraints do
    # not reach into pip's isolated build environments.
    install = installer(folder)
    subprocess.run([*install, *project["build-system"]["requires"]], check=True)
    here = [*install, "--no-build-isolation", "--editable"]
    if extra not in WANTED_ONLY:
        subprocess.run([*here, f"{ROOT}[{extra}]"], check=True)
        return
    subprocess.run([*here, str(ROOT)], check=True)
    for requirement in project["project"]["optional-dependencies"][extra]:
        if subprocess.run([*install, requirement], check=False, capture_output=True).returncode:
            print(f"not available here, going on without: {requirement}", file=sys.stderr)


def installer(folder: Path) -> list[str]:
    """Return the command that installs, in the tested versions, into the environment there."""
    # -qq: only errors.
    return [*pip(folder), "install", "-qq", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]


def pip(folder: Path) -> list[str]:
    """Return the command of a pip that serves the environment in *folder*."""
    python = str(programs_of(folder) / "python")
    if importlib.util.find_spec("ensurepip"):
        return [python, "-m", "pip"]
    # Some Linux distributions ship it apart; our own pip can serve the environment.
    return [sys.executable, "-m", "pip", "--python", python]


def run(command: list[str], bin_folder: Path) -> int:
    """Run *command* with the environment's programs first on the path."""
    path = f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(bin_folder.parent)}
    environment.pop("PYTHONHOME", None)
    program = shutil.which(command[0], path=path)
    if program is None:
        sys.exit(f"no such program: {command[0]}")
    sys.stdout.flush()
    if os.name == "posix":  # become the command: signals and the exit status are its own
        os.execve(program, command, environment)
    return subprocess.run([program, *command[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
