"""Run guest programs from files: ``python -m examples.embedding program.toy [...]``."""

from __future__ import annotations

import argparse
import sys

from examples.embedding.errors import GuestError, GuestSyntaxError
from examples.embedding.host import run_program

__all__ = ("main",)


def main(arguments: list[str] | None = None) -> int:
    """Run the programs named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.embedding", description=__doc__)
    parser.add_argument("programs", nargs="+", help="files to run, one after the other")
    parser.add_argument("--budget", type=int, default=500, help="instructions in one turn")
    parser.add_argument(
        "--seed", type=int, help="run ready tasks in a random order, the same each time"
    )
    parser.add_argument("--workers", type=int, help="how many worker threads")
    parser.add_argument("--summary", action="store_true", help="say at the end what it took")
    chosen = parser.parse_args(arguments)
    order = "fifo" if chosen.seed is None else chosen.seed
    for program in chosen.programs:
        try:
            summary = run_program(
                program, order=order, budget=chosen.budget, max_workers=chosen.workers
            )
        except (GuestError, GuestSyntaxError) as error:
            print(error.report(), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130  # what a shell expects
        except OSError as error:
            print(f"cannot read {program}: {error}", file=sys.stderr)
            return 2
        if chosen.summary:
            print(f"{program}: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
