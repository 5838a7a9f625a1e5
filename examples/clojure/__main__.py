"""Run Clojure programs: ``python -m examples.clojure program.lpy [...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.clojure.executor import run_program
from runtime import WorkerPool

__all__ = ("main",)


def main(arguments: list[str] | None = None) -> int:
    """Run the programs named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.clojure", description=__doc__)
    parser.add_argument("programs", nargs="+", type=Path, help="files to run, one after the other")
    parser.add_argument("--workers", type=int, help="how many worker threads")
    parser.add_argument("--summary", action="store_true", help="say at the end what ran where")
    chosen = parser.parse_args(arguments)
    for program in chosen.programs:
        if not program.is_file():
            print(f"cannot read {program}: no such file", file=sys.stderr)
            return 2
        with WorkerPool(chosen.workers, name="the Clojure workers") as pool:
            run_program(program, pool)
        if chosen.summary:
            numbers = pool.statistics()
            print(f"{program}: {numbers.succeeded} future(s) ran, {numbers.failed} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
