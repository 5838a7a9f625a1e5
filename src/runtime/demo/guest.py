"""The last part: a program in a toy language, whose thousands of tasks wait on workers.

Its interpreter is one of the examples, which lie beside ``src`` in a clone of the project; what is
installed from a wheel does not have them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("NOT_HERE", "clone_of", "find_program", "run_program")

NOT_HERE: Final = (
    "the toy interpreter is not available here: it is one of the examples, which come with a "
    "clone of the project and not with the installed package"
)
_PROGRAM: Final = "crowd.toy"


def clone_of(package: Path) -> Path | None:
    """Return the root of the clone that the folder *package* lies in, None where it is in none."""
    root = package.parent.parent
    return root if package.parent.name == "src" and (root / "pyproject.toml").is_file() else None


def find_program(package: Path) -> Path | None:
    """Return the guest program in the clone around *package*, None where there is none."""
    root = clone_of(package)
    if root is None:
        return None
    program = root / "examples" / "embedding" / "programs" / _PROGRAM
    return program if program.is_file() else None


def run_program(program: Path, write: Callable[[str], object], workers: int | None) -> str:
    """Run *program*; *write* gets what it prints. Returns its summary.

    Raises:
        ImportError: another package called ``examples`` is in the way.
        Exception: what the program came to.
    """
    host = _load_host(program.parents[3])
    return str(host.run_program(program, write=write, max_workers=workers))


def _load_host(root: Path) -> Any:  # noqa: ANN401 - Any: a module that is not always there
    sys.path.insert(0, str(root))
    try:
        host = importlib.import_module("examples.embedding.host")
    finally:
        sys.path.remove(str(root))
    if not Path(str(host.__file__)).is_relative_to(root):
        raise ImportError(f"another package called examples was found first: {host.__file__}")
    return host
