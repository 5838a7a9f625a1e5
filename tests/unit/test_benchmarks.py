"""The benchmark tool compares what it says it compares, and tells the truth about what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as command
from benchmarks import measure, report
from benchmarks.model import OURS, Benchmark, Side, Target, Unit, adds, faster, share, within
from benchmarks.registry import ALL, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = Unit("s")


def scripted(*costs: float) -> Callable[[int], float]:
    """Make a measure that gives these costs, one at each call."""
    script: Iterator[float] = iter(costs)
    return lambda _: next(script)


def made(subject: Callable[[int], float], *others: Side, **options: object) -> Benchmark:
    """Make a benchmark of pretended work."""
    return Benchmark("X1", "pretend", SECONDS, 10, 1, subject, others, **options)  # type: ignore[arg-type]  # the rest


def test_every_number_of_the_loop_and_the_threads_is_there() -> None:
    """A benchmark that is left out cannot show that it got slower."""
    assert {each.key for each in ALL} == {
        *(f"A{number}" for number in range(1, 10)),
        *(f"B{number}" for number in range(1, 10)),
    }


def test_names_are_unique_and_found() -> None:
    """A child process is told by name what to measure."""
    names = [each.name for each in ALL]

    assert len(set(names)) == len(names)
    assert all(find(name).name == name for name in names)


@pytest.mark.parametrize("benchmark", ALL, ids=lambda each: each.name)
def test_every_target_is_about_a_side_that_exists(benchmark: Benchmark) -> None:
    """A target against a misspelt peer would never be checked."""
    names = [OURS, *(side.name for side in benchmark.others)]

    assert len(set(names)) == len(names)
    assert {target.against for target in benchmark.targets} <= {*names, ""}


def test_rounds_are_interleaved_and_nobody_always_comes_first() -> None:
    """Noise that lasts for a while must meet all sides."""
    order: list[str] = []

    def noted(name: str) -> Callable[[int], float]:
        def note(_: int) -> float:
            order.append(name)
            return 1.0

        return note

    benchmark = made(noted("ours"), Side("peer", noted("peer")))

    measure.run(benchmark, 1, 2, warm_up=False)

    assert order == ["ours", "peer", "peer", "ours"]


def test_the_warm_up_is_not_counted() -> None:
    """The first run compiles, imports and starts threads."""
    result = measure.run(made(scripted(100, 1, 1)), 1, 2, warm_up=True)

    assert result.costs == {OURS: [1, 1]}


def test_a_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    """One bad round must not decide, and must not be hidden."""
    benchmark = made(scripted(1, 2, 1), Side("peer", scripted(4, 4, 40)))

    ratio = measure.run(benchmark, 1, 3, warm_up=False).speedup("peer")

    assert ratio == measure.Ratio(4, 2, 40)


@pytest.mark.parametrize(
    ("target", "found", "met"),
    [
        (faster(2, "peer"), 2.0, True),
        (faster(2.1, "peer"), 2.0, False),
        (share(0.5, "peer"), 0.5, True),
        (share(0.4, "peer"), 0.5, False),
        (within(3), 3.0, True),
        (within(2), 3.0, False),
        (adds(-3, "peer"), -3.0, True),
        (adds(-4, "peer"), -3.0, False),
    ],
)
def test_targets_are_met_up_to_their_limit(target: Target, found: float, met: bool) -> None:
    """Each kind compares in its own direction."""
    score = target.score(3, 6)

    assert score == found
    assert target.is_met(score) is met


def test_a_side_that_fails_is_reported_and_the_others_go_on() -> None:
    """One broken peer must not hide the rest, nor pass unseen."""

    def broken(_: int) -> float:
        raise ValueError("no luck")

    benchmark = made(scripted(1, 1), Side("peer", broken), targets=(faster(2, "peer"),))

    result = measure.run(benchmark, 1, 2, warm_up=False)

    assert result.costs == {OURS: [1, 1]}
    assert result.errors == {"peer": "ValueError: no luck"}
    text = report.as_text(result)
    assert "FAILED   ValueError: no luck" in text
    assert "2x peer: not measured here" in text


def test_a_subject_that_fails_leaves_the_peers_figures() -> None:
    """The run goes on, and its status tells."""
    benchmark = made(scripted(), Side("peer", scripted(1)), targets=(faster(2, "peer"),))

    result = measure.run(benchmark, 1, 1, warm_up=False)

    assert list(result.errors) == [OURS]
    text = report.as_text(result)
    assert "peer " in text
    assert "not measured here" in text
    assert "| failed | | StopIteration" in report.as_markdown([result], {}, 1)


def test_a_peer_that_is_not_installed_is_left_out() -> None:
    """Peers are optional."""
    benchmark = made(scripted(1), Side("peer", scripted(1), needs="no_such_module_anywhere"))

    assert measure.run(benchmark, 1, 1, warm_up=False).costs == {OURS: [1]}


def test_what_cannot_run_yet_says_so() -> None:
    """An empty row is honest, a missing one is not."""
    benchmark = made(scripted(), absent=lambda: "comes later")

    result = measure.run(benchmark, 1, 1, warm_up=False)

    assert "not yet: comes later" in report.as_text(result)
    assert "| not yet | | comes later |" in report.as_markdown([result], {}, 1)


def test_costs_of_nothing_give_no_ratio() -> None:
    """Zero wake-ups are as good as it gets; nobody is "infinitely slower"."""
    benchmark = made(scripted(0), Side("peer", scripted(0)), targets=(within(0),))

    result = measure.run(benchmark, 1, 1, warm_up=False)

    assert result.speedup("peer") is None
    assert report.verdicts(result) == ["at most 0 s: 0.00 (0.00..0.00) met"]


def test_the_table_shows_cost_ratio_target_and_verdict() -> None:
    """The README's rows come from here as they are."""
    benchmark = made(
        scripted(1, 1), Side("peer", scripted(3, 3)), targets=(faster(4, "peer"), within(2))
    )

    table = report.as_markdown(
        [measure.run(benchmark, 1, 2, warm_up=False)], {"python": "CPython"}, 2
    )

    assert (
        "| X1 | pretend | 1.00 s | peer 3.00 (3.00x) "
        "| 4x peer: 3.00x (3.00..3.00) MISSED; at most 2 s: 1.00 (1.00..1.00) met |"
    ) in table
    assert "Medians of 2 interleaved rounds" in table
    assert "Python: CPython." in table


def test_percentiles_are_values_that_occurred() -> None:
    """The 99th of a hundred is the second largest."""
    values = list(range(1, 101))

    assert measure.percentile(values, 0.99) == 99
    assert measure.percentile(values, 1.0) == 100
    assert measure.percentile([7], 0.5) == 7


def test_children_cache_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cache, every child would compile what it imports, which no user's does."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert "PYTHONDONTWRITEBYTECODE" not in measure.child_environment()


@pytest.mark.parametrize(
    "arguments",
    [["--only", "A1,Z9"], ["--rounds", "0"], ["--scale", "0"], ["--scale", "2"]],
    ids=" ".join,
)
def test_wrong_options_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt number must not look like a run in which all is well."""
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)

    assert "error: " in capsys.readouterr().err


def test_only_names_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Small letters do as well."""
    assert command.main(["--only", "a3", "--list"]) == 0

    assert capsys.readouterr().out.startswith("A3 ")


@pytest.mark.slow
def test_a_small_run_writes_all_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line to the file, with real work (and no peer: some leave pipes open)."""
    file = tmp_path / "figures.json"

    status = command.main(["--smoke", "--only", "A9", "--json", str(file), "--markdown"])

    assert status == 0
    assert "| A9 | " in capsys.readouterr().out
    figures, _ = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    assert figures["costs"][OURS][0] > 0
    assert {target["met"] for target in figures["targets"]} <= {True, False, None}


@pytest.mark.process
@pytest.mark.slow
def test_a_measure_can_have_a_process_of_its_own() -> None:
    """Memory, idle threads and processor affinity are those of a process."""
    benchmark = next(each for each in ALL if each.key == "A6")

    result = measure.run(benchmark, 2_000, 1, warm_up=False)

    assert result.errors == {}
    assert result.absent is not None or result.costs[OURS][0] > 0


@pytest.mark.process
@pytest.mark.slow
def test_a_child_that_fails_is_reported_with_its_last_words() -> None:
    """A figure that is missing needs a reason."""
    benchmark = made(scripted(), child=True)

    result = measure.run(benchmark, 1, 1, warm_up=False)

    assert "the child ended with 1: StopIteration" in result.errors[OURS]
