"""Code in an interpreter of its own: what it changes would stay, or would end this one."""

from __future__ import annotations

import subprocess
import sys
import textwrap

__all__ = ("run_in_a_child",)


def run_in_a_child(
    code: str, *, pass_fds: tuple[int, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run *code*; return its status and what it printed."""
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    return subprocess.run(
        [sys.executable, "-c", paths + textwrap.dedent(code)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=pass_fds,
        timeout=30,
    )
