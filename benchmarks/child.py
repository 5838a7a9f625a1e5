"""Measure one side of one benchmark in this process, and print the cost: started by `measure`."""

from __future__ import annotations

import json
import os
import sys

from benchmarks.registry import find

__all__ = ("main",)


def main(arguments: list[str]) -> None:
    """Take the name of the benchmark, the name of the side, and the size."""
    name, side_name, size = arguments
    benchmark = find(name)
    if benchmark.pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    measure = next(side.measure for side in benchmark.sides() if side.name == side_name)
    print(json.dumps(measure(int(size))), flush=True)
    os._exit(0)  # what is left running here, on purpose, ends with the process


if __name__ == "__main__":
    main(sys.argv[1:])
