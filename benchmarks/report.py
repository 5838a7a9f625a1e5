"""Show what was measured: as text while it goes on, as a Markdown table, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.model import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Ratio, Result
    from benchmarks.model import Benchmark, Target, Unit

__all__ = ("as_json", "as_markdown", "as_text", "verdicts")


def as_text(result: Result) -> str:
    """Return a few lines for the terminal."""
    benchmark = result.benchmark
    lines = [f"{benchmark.name} [{benchmark.unit.name}]"]
    if result.absent is not None:
        return f"{lines[0]}\n    not yet: {result.absent}"
    for name in result.costs:
        line = f"    {name:<24} {benchmark.unit.show(result.cost(name)):>10}"
        ratio = None if name == OURS else result.speedup(name)
        lines.append(line if ratio is None else f"{line}   {_spread(ratio, 'x')}")
    lines += [f"    {name:<24}     FAILED   {why}" for name, why in result.errors.items()]
    lines += [
        f"    {side.name:<24}     left out: not installed, or not for this Python"
        for side in benchmark.others
        if not side.is_available()
    ]
    lines += [f"    target: {verdict}" for verdict in verdicts(result)]
    return "\n".join(lines)


def as_markdown(results: Sequence[Result], machine: dict[str, str], rounds: int) -> str:
    """Return the table, and under it what the reader must know to judge it."""
    lines = [
        "| # | work | ours | others (their cost; how many times ours) | target |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        benchmark = result.benchmark
        lead = f"| {benchmark.key} | {benchmark.title}{_fewer(benchmark, rounds)} |"
        if result.absent is not None:
            lines.append(f"{lead} not yet | | {result.absent} |")
        elif OURS not in result.costs:
            lines.append(f"{lead} failed | | {result.errors.get(OURS, '')} |")
        else:
            ours = f"{benchmark.unit.show(result.cost(OURS))} {benchmark.unit.name}"
            others = "; ".join(_cell(result, name) for name in result.costs if name != OURS)
            lines.append(f"{lead} {ours} | {others} | {'; '.join(verdicts(result))} |")
    lines += [
        "",
        f"Medians of {rounds} interleaved rounds; in brackets the extremes of the rounds.",
    ]
    lines += [f"{name.capitalize()}: {text}." for name, text in machine.items()]
    return "\n".join(lines)


def as_json(results: Sequence[Result], machine: dict[str, str]) -> dict[str, Any]:
    """Return all figures, in seconds, bytes and pieces, round by round."""
    return {
        "machine": machine,
        "benchmarks": [
            {
                "key": result.benchmark.key,
                "title": result.benchmark.title,
                "unit": asdict(result.benchmark.unit),
                "absent": result.absent,
                "costs": result.costs,
                "errors": result.errors,
                "targets": [_target_json(result, each) for each in result.benchmark.targets],
            }
            for result in results
        ],
    }


def verdicts(result: Result) -> list[str]:
    """Return a line for each target: what was wanted, what was found, whether that is enough."""
    unit = result.benchmark.unit
    lines = []
    for target in result.benchmark.targets:
        score = result.score(target)
        if score is None:
            lines.append(f"{_wanted(target, unit)}: not measured here")
            continue
        found = _spread(score, "x") if target.kind in ("faster", "share") else _costs(score, unit)
        verdict = "met" if target.is_met(score.value) else "MISSED"
        lines.append(f"{_wanted(target, unit)}: {found} {verdict}")
    return lines


def _wanted(target: Target, unit: Unit) -> str:
    if target.kind == "faster":
        return f"{target.limit:g}x {target.against}"
    if target.kind == "share":
        return f"at most {target.limit:g} of {target.against}"
    limit = f"{target.limit / unit.scale:g} {unit.name}"
    return f"at most {limit}" if target.kind == "within" else f"{target.against} + at most {limit}"


def _target_json(result: Result, target: Target) -> dict[str, Any]:
    score = result.score(target)
    return {
        "wanted": _wanted(target, result.benchmark.unit),
        **asdict(target),
        "found": None if score is None else asdict(score),
        "met": None if score is None else target.is_met(score.value),
    }


def _fewer(benchmark: Benchmark, rounds: int) -> str:
    """Say so where a row has had fewer rounds than the others."""
    least = benchmark.rounds or rounds
    return f" ({least} rounds)" if least < rounds else ""


def _cell(result: Result, name: str) -> str:
    ratio = result.speedup(name)
    shown = f"{name} {result.benchmark.unit.show(result.cost(name))}"
    return shown if ratio is None else f"{shown} ({ratio.value:.2f}x)"


def _spread(ratio: Ratio, sign: str) -> str:
    return f"{ratio.value:.2f}{sign} ({ratio.low:.2f}..{ratio.high:.2f})"


def _costs(score: Ratio, unit: Unit) -> str:
    return f"{unit.show(score.value)} ({unit.show(score.low)}..{unit.show(score.high)})"
