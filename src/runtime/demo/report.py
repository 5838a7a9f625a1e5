"""The words of the report; nothing here decides or measures."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Final, Protocol

from runtime.demo.syntax import COMPLEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.demo import syntax
    from runtime.demo.digests import Failure, Totals
    from runtime.scheduling.statistics import Distribution, PoolStatistics

__all__ = (
    "describe_crew",
    "describe_differences",
    "describe_failures",
    "describe_interpreter",
    "describe_pool",
    "describe_speed",
    "describe_syntax",
    "describe_totals",
    "printable",
)

_NAMED: Final = 10  # files that a list names, where there may be thousands
_SHOWN_KINDS: Final = 5
_MILLISECOND: Final = 1e-3


class _Amount(Protocol):
    """How much was worked on."""

    @property
    def files(self) -> int: ...
    @property
    def size(self) -> int: ...


def describe_interpreter() -> str:
    """Return which Python this is, in a few words."""
    is_gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    gil = "GIL on" if is_gil_enabled() else "GIL off"
    return f"{platform.python_implementation()} {platform.python_version()}, {gil}"


def describe_totals(totals: Totals) -> Iterator[str]:
    """Give the lines about what was worked on."""
    yield f"  files        {totals.files:,}"
    yield f"  bytes        {totals.size:,}"
    yield f"  compressed   {totals.compressed_size:,} ({totals.ratio:.1%})"
    yield f"  SHA-256      {totals.sha256}"


def describe_syntax(totals: syntax.Totals) -> Iterator[str]:
    """Give the lines about what was parsed; what cannot be parsed is named."""
    parsed = totals.files - len(totals.problems)
    yield f"  files        {totals.files:,}: {parsed:,} parsed, {len(totals.problems):,} not"
    for name, problem in totals.problems[:_NAMED]:
        yield f"  not parsed   {printable(name)}: {printable(problem)}"
    if len(totals.problems) > _NAMED:
        yield f"  not parsed   and {len(totals.problems) - _NAMED:,} more"
    yield f"  bytes        {totals.size:,}"
    most = list(totals.kinds.items())[:_SHOWN_KINDS]
    kinds = ", ".join(f"{name} {count:,}" for name, count in most)
    number, more = sum(totals.kinds.values()), len(totals.kinds) - len(most)
    yield f"  nodes        {number:,}: {kinds}{f', {more} more kinds' if more else ''}"
    if totals.highest is None:
        yield "  functions    0"
        return
    name, function = totals.highest
    yield (
        f"  functions    {totals.functions:,}, cyclomatic complexity "
        f"{totals.complexity / totals.functions:.2f} on average, "
        f"{totals.complex_functions:,} above {COMPLEX}"
    )
    where = f"{printable(name)}:{function.line}"
    yield f"  highest      {function.complexity} in {printable(function.name)}, {where}"


def describe_crew(workers: int) -> str:
    """Return the name of the run on workers."""
    return "on 1 worker" if workers == 1 else f"on {workers} workers"


def describe_speed(
    totals: _Amount, crew: str, on_workers: float, in_sequence: float
) -> Iterator[str]:
    """Give the lines about the time, which is in seconds."""
    for title, seconds in ((crew, on_workers), ("in sequence", in_sequence)):
        files = totals.files / seconds if seconds else 0.0
        megabytes = totals.size / 1e6 / seconds if seconds else 0.0
        yield f"  {title:<12} {seconds:.2f} s   {files:,.0f} files/s   {megabytes:.1f} MB/s"
    yield f"  speed-up     {in_sequence / on_workers if on_workers else 1.0:.2f} x"


def describe_pool(statistics: PoolStatistics) -> Iterator[str]:
    """Give the lines about what the pool counted."""
    now = statistics
    died = f", {now.restarts} died and replaced" if now.restarts else ""
    yield (
        f"  backend      {now.backend}, {now.max_workers} at once, {now.abandoned} abandoned{died}"
    )
    yield (
        f"  jobs         {now.done:,} done: {now.succeeded:,} succeeded, {now.failed:,} failed, "
        f"{now.timed_out:,} timed out, {now.cancelled:,} cancelled"
    )
    yield f"  waited       {_describe_times(now.wait_time)}"
    yield f"  ran          {_describe_times(now.run_time)}"
    for name, seconds in now.abandoned_names:
        yield f"  still runs   {printable(name)}, given up {seconds:.1f} s ago"


def describe_failures(failures: Sequence[Failure]) -> Iterator[str]:
    """Give the lines about what could not be worked on: all of it, since nothing else tells."""
    for failure in failures:
        yield f"  failed       {printable(failure.name)}: {printable(failure.reason)}"


def describe_differences(names: Sequence[str]) -> Iterator[str]:
    """Give the lines about files for which the two runs do not agree."""
    for name in names[:_NAMED]:
        yield f"  DIFFERENT    {printable(name)}"
    if len(names) > _NAMED:
        yield f"  DIFFERENT    and {len(names) - _NAMED} more"


def printable(text: str) -> str:
    """Return *text* with nothing in it that a stream would refuse, or a terminal would obey."""
    text = text.encode(errors="backslashreplace").decode()
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _describe_times(times: Distribution) -> str:
    if not times.samples:
        return "no sample"
    return (
        f"{_span(times.mean)} on average, 95 % at most {_span(times.percentile(95))}, "
        f"longest {_span(times.maximum)} ({times.samples:,} jobs sampled)"
    )


def _span(seconds: float) -> str:
    factor, unit = (1e3, "ms") if seconds >= _MILLISECOND else (1e6, "us")
    return f"{seconds * factor:,.1f} {unit}"
