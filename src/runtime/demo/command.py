"""The command line of the demonstration."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.demo.digests import SKIPPED, stdlib_folder
from runtime.demo.program import Demo
from runtime.demo.session import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("DESCRIPTION", "EPILOG", "add_options", "main", "run")

DESCRIPTION: Final = (
    "Read, hash (SHA-256) and compress (zlib) every file of this interpreter's standard library "
    "on thread workers, then again in a plain loop; compare digests and time. Then parse every "
    "module on process workers, and again in a plain loop; compare totals and time. Then run a "
    "program in a toy language, thousands of whose tasks wait on workers. "
    f"Not looked into: {', '.join(SKIPPED)}."
)
EPILOG: Final = (
    "Exit status: 0 all is well; 1 the two runs of a part differ; 2 the command line is "
    "wrong; 3 a file failed or took too long; 4 the guest program failed; 130 Ctrl-C."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demonstration to *parser*."""
    defaults = Settings(Path())
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "--workers", type=_count, metavar="N", help="how many; default: one per CPU"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="only the first N files")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=defaults.timeout,
        metavar="S",
        help="seconds that one file may take on a worker; default: %(default)g",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="PATH", help="take this folder, not the standard library"
    )
    parser.add_argument("--no-digests", action="store_true", help="leave the thread workers out")
    parser.add_argument("--no-survey", action="store_true", help="leave the process workers out")
    parser.add_argument(
        "--tests",
        action="store_true",
        help="also parse the interpreter's own tests, the folder test: takes twice as long",
    )
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="kill one of the process workers half-way; its job is run again",
    )
    parser.add_argument("--no-guest", action="store_true", help="leave the toy language out")
    parser.add_argument("--quiet", action="store_true", help="say only how it ended")


def run(options: argparse.Namespace) -> int:
    """Run the demonstration with parsed *options*; return the exit status."""
    settings = Settings(
        folder=options.folder or stdlib_folder(),
        workers=options.workers,
        limit=options.limit,
        timeout=options.timeout,
        with_digests=not options.no_digests,
        with_survey=not options.no_survey,
        with_tests=options.tests,
        chaos=options.chaos,
        with_guest=not options.no_guest,
        quiet=options.quiet,
    )
    return Demo(settings).run()


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the demonstration as a program of its own; return the exit status."""
    parser = argparse.ArgumentParser(prog=prog)
    add_options(parser)
    return run(parser.parse_args(arguments))


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, more than 0")
    return number
