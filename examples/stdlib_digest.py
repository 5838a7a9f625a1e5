"""Digest every file of the standard library on thread workers, and check it: the main example.

    PYTHONPATH=src python examples/stdlib_digest.py --help

What ``python -m runtime demo`` does first, where it lives, so that it also works without a clone:
`runtime.demo.digests` has the work for one file, `runtime.demo.sweep` spawns a job for each with
a timeout and stops cleanly on Ctrl-C, `runtime.demo.program` measures, compares and reports.
"""

from __future__ import annotations

import sys

from runtime.demo import main

__all__ = ("main",)

if __name__ == "__main__":
    sys.exit(main())
