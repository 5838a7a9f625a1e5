"""C5: from nothing to the first result of each child, the package being imported already.

Each measure has an interpreter of its own that has no main module: multiprocessing's children
would import it, ours would not.
"""

from __future__ import annotations

import importlib
from functools import partial
from time import perf_counter

from benchmarks.model import OURS, Benchmark, Side, Unit, share
from benchmarks.process_pools import all_children, kind_of, why_not
from benchmarks.process_subject import call_fresh

__all__ = ("BENCHMARKS", "start")


def start(name: str, options: str) -> None:
    """Print the time; *options* is ``key=value``, or nothing."""
    kind = kind_of(name)
    importlib.import_module(kind.module)
    importlib.import_module("tempfile")
    begin = perf_counter()
    with kind.open(**dict([options.split("=")] if options else [])) as children:
        all_children(children)
        cost = perf_counter() - begin
    print(cost)


def cold(_: int, *, name: str, options: str = "") -> float:
    """Return the time, measured in a fresh interpreter."""
    return call_fresh(__name__, "start", name, options)


def _side(name: str, method: str | None = None, options: str = "") -> Side:
    shown = name if method is None else f"{name}, {method}"
    return Side(shown, partial(cold, name=name, options=options), needs=kind_of(name).needs)


def _row(ours: str, theirs: str, *others: Side) -> Benchmark:
    """Compare start methods that make children the same way."""
    executor = _side("ProcessPoolExecutor", theirs, f"method={theirs}")
    return Benchmark(
        "C5",
        f"cold start to the first result of each child, start method {ours!r}",
        Unit("ms", 1e-3),
        1,
        1,
        partial(cold, name=OURS, options=f"start_method={ours}"),
        (executor, _side("multiprocessing.Pool", theirs, f"method={theirs}"), *others),
        (share(1.0, executor.name),),
        absent=why_not,
    )


BENCHMARKS = (
    _row(
        "template",
        "forkserver",
        _side("ProcessPoolExecutor", "fork", "method=fork"),
        _side("loky"),
        _side("pebble"),
        _side("mpire"),
        _side("joblib"),
    ),
    _row("spawn", "spawn"),
)
