"""Parse every module of the standard library on process workers, and check the totals.

    PYTHONPATH=src python examples/stdlib_complexity.py --chaos

With ``--chaos`` one of the processes is killed half-way, and the totals are the same. This is the
second part of ``python -m runtime demo``, where it lives: `runtime.demo.syntax` has the work for
one module, `runtime.demo.sweep` spawns a job for each and runs again one that fails with a
`WorkerCrashedError`, `runtime.demo.survey` measures, compares and reports.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runtime import demo

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("main",)


def main(arguments: Sequence[str]) -> int:
    """Run this part of the demonstration alone; return the exit status."""
    return demo.main(["--no-digests", "--no-guest", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
