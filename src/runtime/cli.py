"""The command line of the package: ``python -m runtime``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import runtime
from runtime.demo import command, guest, report
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ("find_version", "main")

DISTRIBUTION: Final = "vela-runtime"
DESCRIPTION: Final = "Workers, futures and an event loop of our own: a runtime to embed."
_BROKEN_PIPE: Final = 141  # what a shell shows for a program whose reader has left


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    action: Callable[[argparse.Namespace], int] | None = options.action
    _accept_any_name()
    try:
        if options.version:
            sys.stdout.write(f"{DISTRIBUTION} {find_version()}\n")
        elif action is None:
            parser.print_help()
        status = 0 if action is None or options.version else action(options)
        sys.stdout.flush()  # here, where a reader that has left can still be dealt with
    except BrokenPipeError:
        # Python flushes once more at exit; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return status


def find_version(package: Path | None = None) -> str:
    """Return the version of this package: a clone's own, else that of what is installed.

    Args:
        package: The folder of the package.
    """
    root = guest.clone_of(package or Path(runtime.__file__).resolve().parent)
    if root is not None:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # copied into another program
        return "unknown"


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime", description=DESCRIPTION)
    parser.add_argument("--version", action="store_true", help="show the version, and exit")
    parser.set_defaults(action=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser("demo", help="digest and parse the standard library on workers")
    command.add_options(demo)
    demo.set_defaults(action=command.run)
    info = commands.add_parser("info", help="show what this package finds here")
    info.set_defaults(action=_print_info)
    return parser


def _print_info(_options: argparse.Namespace) -> int:
    sys.stdout.writelines(f"{name:<12} {value}\n" for name, value in _describe())
    return 0


def _describe() -> Iterator[tuple[str, str]]:
    yield DISTRIBUTION, find_version()
    yield "python", report.describe_interpreter()
    yield "platform", platform.platform()
    pool = WorkerPool()  # starts no thread
    yield "workers", f"{pool.max_workers} by default"
    yield "backend", f"{pool.statistics().backend} by default; there are: inline, process, thread"
    yield "location", str(Path(runtime.__file__).resolve().parent)


def _accept_any_name() -> None:
    """Let files be named whose names the terminal's encoding cannot show."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
