"""The benchmark tool compares what it says it compares, and tells the truth about what it found."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as command
from benchmarks import machine, measure, report
from benchmarks.model import OURS, Benchmark, Side, Target, Unit, adds, faster, share, within
from benchmarks.process_pools import KINDS, kind_of
from benchmarks.process_schedule import MEAN, durations, ideal
from benchmarks.process_start import cold
from benchmarks.process_subject import Subject
from benchmarks.process_tree import Tree, proportional
from benchmarks.registry import ALL, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = Unit("s")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched in /proc")


def scripted(*costs: float) -> Callable[[int], float]:
    """Make a measure that gives these costs, one at each call."""
    script: Iterator[float] = iter(costs)
    return lambda _: next(script)


def made(subject: Callable[[int], float], *others: Side, **options: object) -> Benchmark:
    """Make a benchmark of pretended work."""
    return Benchmark("X1", "pretend", SECONDS, 10, 1, subject, others, **options)  # type: ignore[arg-type]  # the rest


def test_every_number_of_the_loop_and_the_threads_is_there() -> None:
    """A benchmark that is left out cannot show that it got slower."""
    assert {each.key for each in ALL if each.key[0] in "AB"} == {
        *(f"A{number}" for number in range(1, 10)),
        *(f"B{number}" for number in range(1, 11)),
    }


def test_every_number_of_the_processes_is_there_and_in_order() -> None:
    """The tenth comes after the ninth, not after the first."""
    keys = dict.fromkeys(each.key for each in ALL if each.key[0] == "C")

    assert list(keys) == [f"C{number}" for number in range(1, 12)]


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


def test_what_takes_long_has_fewer_rounds_and_says_so() -> None:
    """Memory hardly varies; a table must not claim more rounds than there were."""
    benchmark = made(scripted(1, 1), rounds=2)

    result = measure.run(benchmark, 1, 7, warm_up=True)

    assert result.costs == {OURS: [1, 1]}
    assert "| pretend (2 rounds) |" in report.as_markdown([result], {}, 7)
    assert "| pretend |" in report.as_markdown([result], {}, 2)


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

    result = measure.run(benchmark, 1, 1, warm_up=False)

    assert result.costs == {OURS: [1]}
    assert "peer                         left out: not installed" in report.as_text(result)


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


def test_only_takes_a_part_by_its_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """A part is what one changes, and measures, as a whole."""
    assert command.main(["--only", "c,a3", "--list"]) == 0

    letters = [line[0] for line in capsys.readouterr().out.splitlines()]
    assert letters[0] == "A"
    assert letters.count("C") == sum(each.key[0] == "C" for each in ALL)
    assert set(letters) == {"A", "C"}


def test_it_says_that_bytecode_is_cached_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has switched it off should know that the figures are made with it on."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert "not passed on" in machine.describe()["bytecode"]


@pytest.mark.parametrize(
    ("durations", "time"), [((1, 1, 1), 2), ((3, 1, 1, 1), 3), ((1, 1, 4), 5), ((), 0)], ids=str
)
def test_the_ideal_schedule_keeps_the_order_and_two_children(
    durations: tuple[float, ...], time: float
) -> None:
    """A better schedule would have to know the durations; a worse one flatters everybody."""
    assert ideal(durations) == time


def test_random_durations_are_always_the_same_and_of_the_mean_in_the_title() -> None:
    """Sides that get different work cannot be compared."""
    each = durations(2_000)

    assert sum(each) / len(each) == pytest.approx(MEAN)
    assert sum(duration > 40 * MEAN for duration in each) >= 3
    durations.cache_clear()
    assert durations(2_000) == each


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


@LINUX
@pytest.mark.process
@pytest.mark.slow
def test_a_program_with_children_is_watched_from_outside() -> None:
    """Memory and processor time are those of its whole family, and of nobody else."""
    with Subject("ProcessPoolExecutor") as subject:
        tree = Tree(subject.pid)

        assert tree.pids[0] == subject.pid
        assert set(subject.children) <= set(tree.pids)
        assert len(set(subject.children)) == 2
        assert min(map(proportional, subject.children)) > 0
        assert tree.proportional() >= sum(map(proportional, subject.children)) / 2
        assert tree.memory() > 0
        assert tree.processor_time() > 0
        assert tree.wake_ups() > 0

    assert Tree(subject.pid).pids == [subject.pid]  # none is left


@LINUX
@pytest.mark.process
@pytest.mark.slow
def test_a_cold_start_is_measured_in_an_interpreter_of_its_own() -> None:
    """Here, a fork server or a template may be running already."""
    assert 0 < cold(1, name="multiprocessing.Pool", options="method=spawn") < 60


def test_peers_of_the_processes_are_known_by_what_they_need() -> None:
    """Those of the standard library and ours are always there, the others where installed."""
    assert {kind.name for kind in KINDS if kind.needs is None} == {
        OURS,
        "ProcessPoolExecutor",
        "multiprocessing.Pool",
    }
    assert kind_of("mpire").needs == "mpire"


@LINUX
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("key", ["C1", "C2", "C4", "C6", "C7", "C10", "C11"])
def test_our_side_of_the_processes_runs(key: str) -> None:
    """The peers stay out: they fork this process, and leave things to clean up behind."""
    for benchmark in ALL:
        if benchmark.key == key and not benchmark.child:
            alone = replace(benchmark, others=(), targets=())

            result = measure.run(alone, benchmark.small, 1, warm_up=False)

            assert result.errors == {}
            assert result.absent is not None or result.costs[OURS][0] >= 0
