"""Compare this package with others: ``python -m benchmarks`` (or ``make bench``).

Every benchmark runs in rounds; in each round ours and all peers do the same work once. Only
ratios count: machines differ, and none is quiet. What happens to the garbage collector:
nothing, it has its default settings; both sides keep what they made until all is awaited.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import describe
from benchmarks.measure import run
from benchmarks.registry import ALL
from benchmarks.report import as_json, as_markdown, as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.model import Benchmark

__all__ = ("main",)

ROUNDS = 7


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--smoke", action="store_true", help="each one once, small: do they run?")
    parser.add_argument(
        "--only", metavar="A1,B2,C", help="the numbers of those to run, or the letter of a part"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help=f"{ROUNDS} unless told")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="do this part of the work (0.1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="end with the README's table")
    parser.add_argument("--list", action="store_true", help="name them, run none")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if not 0 < options.scale <= 1:
        parser.error("--scale must be more than 0 and at most 1")
    known = {name for each in ALL for name in (each.key, each.key[0])}
    wanted = known if options.only is None else set(options.only.upper().split(","))
    if wanted - known:
        parser.error(f"no such benchmark: {', '.join(sorted(wanted - known))}")
    options.chosen = [each for each in ALL if {each.key, each.key[0]} & wanted]
    return options


def size_of(benchmark: Benchmark, options: argparse.Namespace) -> int:
    """Return how much work a measure is to do."""
    if options.smoke:
        return benchmark.small
    return max(benchmark.small, int(benchmark.size * options.scale))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 where something failed to run (a missed target is no failure)."""
    options = parse(arguments)
    if options.list:
        print("\n".join(each.name for each in options.chosen))
        return 0
    rounds = options.rounds or (1 if options.smoke else ROUNDS)
    machine = describe()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children find compiled imports, as a user's
    for name, text in machine.items():
        print(f"{name}: {text}")
    print(f"rounds: {rounds}\n", flush=True)
    results = []
    for benchmark in options.chosen:
        begin = time.perf_counter()
        result = run(benchmark, size_of(benchmark, options), rounds, warm_up=not options.smoke)
        print(f"{as_text(result)}\n    ({time.perf_counter() - begin:.1f} s)", flush=True)
        results.append(result)
    if options.json is not None:
        text = json.dumps(as_json(results, machine), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.markdown:
        print("\n" + as_markdown(results, machine, rounds))
    return 1 if any(result.errors for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
