"""Run Lua programs: ``python -m examples.lua program.lua [...]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from examples.lua.errors import LuaFailure
from examples.lua.host import LuaHost
from runtime import Executor
from runtime.interop.guest import attach

__all__ = ("main",)


def main(arguments: list[str] | None = None) -> int:
    """Run the programs named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.lua", description=__doc__)
    parser.add_argument("programs", nargs="+", type=Path, help="files to run, one after the other")
    parser.add_argument("--asyncio", action="store_true", help="as a guest of a loop of asyncio")
    parser.add_argument("--workers", type=int, help="how many worker threads")
    parser.add_argument(
        "--memory", type=int, metavar="MIB", help="how much each Lua state may have"
    )
    chosen = parser.parse_args(arguments)
    limits = chosen.workers, None if chosen.memory is None else chosen.memory << 20
    for program in chosen.programs:
        try:
            source = program.read_text(encoding="utf-8")
            if chosen.asyncio:
                asyncio.run(run_in_asyncio(source, program.name, *limits))
            else:
                run(source, program.name, *limits)
        except LuaFailure as error:
            print(error.report(), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130  # what a shell expects
        except OSError as error:
            print(f"cannot read {program}: {error}", file=sys.stderr)
            return 2
    return 0


def run(source: str, name: str, workers: int | None, memory: int | None) -> None:
    """Run a program on a loop of our own."""
    with (
        Executor() as executor,
        LuaHost(executor, max_workers=workers, max_memory_bytes=memory) as host,
    ):
        executor.run_until_complete(host.run(source, name))


async def run_in_asyncio(source: str, name: str, workers: int | None, memory: int | None) -> None:
    """Run a program beside whatever else the loop of asyncio does."""
    with (
        attach() as guest,
        LuaHost(guest.executor, max_workers=workers, max_memory_bytes=memory) as host,
    ):
        await guest.spawn(host.run(source, name))


if __name__ == "__main__":
    sys.exit(main())
