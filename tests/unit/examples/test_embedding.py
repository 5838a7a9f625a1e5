"""The toy language: its programs, and the host that drives them through the embedding contract."""

from __future__ import annotations

import ast
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import examples.embedding
from examples.embedding import GuestError, Host, Source, Summary
from examples.embedding.__main__ import main
from runtime.async_runtime import Promise
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.embedding.fiber import Cancellable

FOLDER: Final = Path(examples.embedding.__file__).parent
PROGRAMS: Final = FOLDER / "programs"
GUARD: Final = 10.0  # seconds; only a deadlock takes so long

EXPECTED: Final = {
    "hello": """\
hello, world
fib 987
counted to 2 and 1
squares [1, 4, 9, 16, 25] last 25
calls nest 20000 deep
""",
    "stream": """\
all of them: 210
the even ones: 110
done
""",
    "timers": """\
quick woke up
middle woke up
slow woke up
all: ["slow", "quick", "middle"]
hare woke up
first: hare
late: task 7 'nap' took longer than 0.01 s
cancelled: true again: false
and so: task 8 'nap' was cancelled
tortoise woke up
tortoise: tortoise
""",
    "recover": """\
caught negative -7
from a task: ["negative", -8]
from a worker: work divide failed: ZeroDivisionError: division by zero
first good: 5
of the language: cannot use + on a number and a string
""",
}


def at_once(_name: str, job: Callable[..., object], arguments: tuple[object, ...]) -> Cancellable:
    """Run a job in the caller: no thread, so the same order each time."""
    promise: Promise[object] = Promise()
    try:
        promise.resolve(job(*arguments))
    except Exception as error:  # noqa: BLE001 - the guest gets it
        promise.reject(error)
    return promise.future()


def run(program: str, **options: Any) -> tuple[str, Summary]:  # noqa: ANN401 - Any: those of Host
    """Run *program* without threads and without waiting; return what it printed."""
    written: list[str] = []
    chosen = {
        "clock": ManualClock(auto_advance=True),
        "starter": at_once,
        "write": written.append,
        **options,
    }
    with Host(**chosen) as host:
        summary = host.run(Source("test.toy", program))
    return "".join(written), summary


def failure(program: str, **options: Any) -> str:  # noqa: ANN401 - Any: those of Host
    """Run a program that must fail; return the report."""
    with pytest.raises(GuestError) as caught:
        run(program, **options)
    return caught.value.report()


# ---- the programs that come with it -------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED)
def test_a_program_prints_what_it_should(name: str) -> None:
    """The programs are the language's documentation: they must do what their comments say."""
    printed, _ = run((PROGRAMS / f"{name}.toy").read_text(encoding="utf-8"))

    assert printed == EXPECTED[name]


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_ready_tasks_changes_no_result(seed: int) -> None:
    """A program that only waits for what it needs is right in every order."""
    printed, _ = run((PROGRAMS / "stream.toy").read_text(encoding="utf-8"), order=seed)

    assert sorted(printed.splitlines()) == sorted(EXPECTED["stream"].splitlines())


def test_the_command_line_reports_an_error_with_its_guest_stack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who runs a program wants the place, the line, and the way there across tasks."""
    status = main([str(PROGRAMS / "error.toy")])

    assert status == 1
    out, err = capsys.readouterr()
    assert out == "good 2.0\n"
    assert err == (
        "error.toy:10:18: error: division by zero\n"
        "        return total / len(list)\n"
        "                     ^\n"
        "  in average (error.toy:10:18)\n"
        "  in report (error.toy:14:24)\n"
        "  spawned by the main program (error.toy:20:11)\n"
        "  awaited in the main program (error.toy:21:4)\n"
    )


def test_the_command_line_runs_several_programs_and_sums_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The demonstration shows what a program took."""
    hello = str(PROGRAMS / "hello.toy")

    assert main(["--summary", hello, hello]) == 0

    out = capsys.readouterr().out
    assert out.count("hello, world") == 2
    assert f"{hello}: 1 guest task(s), 0 worker job(s)" in out


def test_a_file_that_is_not_there_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line tells a wrong path from a wrong program."""
    assert main(["nowhere.toy"]) == 2
    assert "cannot read nowhere.toy" in capsys.readouterr().err


def test_thousands_of_tasks_wait_for_workers() -> None:
    """What an interpreter is for: many cheap tasks over a few threads that block."""
    written: list[str] = []
    source = Source("crowd.toy", (PROGRAMS / "crowd.toy").read_text(encoding="utf-8"))

    with Host(write=written.append, max_workers=2) as host:
        summary = host.run(source)

    assert written[0] == "the sum of 5000 squares is 41654167500\n"
    assert (summary.tasks, summary.jobs, summary.cancelled) == (5001, 5001, 0)


# ---- the host and the contract ------------------------------------------------------------


def test_tasks_wake_in_the_order_of_their_deadlines() -> None:
    """On a clock that jumps nothing depends on the machine, and nothing waits."""
    program = """
        fn nap(n) { sleep(n); print(n, clock()) }
        all([spawn nap(3600), spawn nap(1), spawn nap(60)])
    """

    printed, summary = run(program)

    assert printed == "1 1.0\n60 60.0\n3600 3600.0\n"
    assert summary.elapsed == 3600.0


def test_a_seed_repeats_its_order() -> None:
    """A test that found a bad order must be able to run it again."""
    program = """
        fn say(n) { print(n) }
        let tasks = []
        while len(tasks) < 20 { push(tasks, spawn say(len(tasks))) }
        all(tasks)
    """

    orders = [run(program, order=seed)[0] for seed in (1, 1, 2)]

    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_a_busy_loop_does_not_starve_a_timer() -> None:
    """The budget takes a task off the stage in the middle of a loop without any wait."""
    program = """
        let stop = [false]
        fn busy() { while not stop[0] { } return "stopped" }
        fn alarm() { sleep(0.001); stop[0] = true }
        spawn alarm()
        print(await spawn busy())
    """
    written: list[str] = []

    with Host(write=written.append, budget=100) as host:
        host.run(Source("busy.toy", program))

    assert written == ["stopped\n"]


def test_two_busy_tasks_take_turns() -> None:
    """A budget is spent, then the next one runs: neither has to wait for the other's end."""
    program = """
        let log = []
        fn count(name) { let i = 0; while i < 100 { i = i + 1 } push(log, name) }
        fn short(name) { push(log, name) }
        all([spawn count("long"), spawn short("short")])
        print(log)
    """

    assert run(program, budget=50)[0] == '["short", "long"]\n'
    assert run(program, budget=100_000)[0] == '["long", "short"]\n'


def test_a_wake_from_another_thread_ends_the_sleep_of_the_host() -> None:
    """No timer is set, so only ``on_wake`` can tell the host that a job has ended."""
    promise: Promise[object] = Promise()
    asleep = threading.Event()

    def starter(*_job: object) -> Cancellable:
        asleep.set()
        return promise.future()

    def settle() -> None:
        assert asleep.wait(GUARD)
        promise.resolve("from a thread")

    thread = threading.Thread(target=settle)
    thread.start()

    printed, summary = run('print(work("square", 1))', starter=starter)

    thread.join(GUARD)
    assert printed == "from a thread\n"
    assert summary.jobs == 1


def test_a_clock_that_somebody_else_moves_wakes_the_host() -> None:
    """The host cannot know how long to sleep on such a clock: the move itself rings the bell."""
    clock = ManualClock()
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            clock.advance(1.0)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        printed, _ = run('sleep(1000); print("woke up")', clock=clock)
    finally:
        ended.set()
        thread.join(GUARD)

    assert printed == "woke up\n"


def test_cancelling_a_task_cancels_the_job_that_it_waits_for() -> None:
    """A worker must not run on for a task that is gone."""
    promise: Promise[object] = Promise()
    program = """
        let task = spawn work("square", 1)
        pause()
        print(cancel(task))
    """

    printed, _ = run(program, starter=lambda *_job: promise.future())

    assert printed == "true\n"
    assert promise.future().cancelled()


def test_the_end_of_the_main_task_cancels_the_others() -> None:
    """A program ends when its main task does; the summary says what was cut off."""
    _, summary = run("spawn sleep(5); spawn sleep(6); pause()")

    assert summary.cancelled == 2
    assert summary.elapsed == 0.0


def test_tasks_that_wait_for_each_other_are_reported() -> None:
    """A host that knows of no timer and no job need not wait for ever."""
    program = """
        let tasks = []
        fn wait_for_me() { pause(); await tasks[0] }
        push(tasks, spawn wait_for_me())
        await tasks[0]
    """

    report = failure(program)

    assert "deadlock: 2 task(s) wait for each other for ever" in report
    assert "task 2 'wait_for_me' waits\n    in wait_for_me (test.toy:3:37)" in report


def test_a_failure_that_nobody_awaited_is_reported() -> None:
    """``on_unhandled`` is how a host hears of a guest's mistake that no guest looks at."""
    complaints: list[str] = []

    run('fn bad() { throw "lost" }\n spawn bad(); pause(); pause()', complain=complaints.append)

    assert len(complaints) == 1
    assert "nobody awaited it: test.toy:1:12: error: lost" in complaints[0]


def test_a_host_runs_one_program_after_another() -> None:
    """A failed program leaves nothing behind that the next one could stumble over."""
    written: list[str] = []
    with Host(write=written.append, clock=ManualClock(auto_advance=True), starter=at_once) as host:
        with pytest.raises(GuestError, match="first"):
            host.run(Source("a", 'spawn sleep(9); pause(); throw "first"'))
        summary = host.run(Source("b", 'print("second")'))

    assert written == ["second\n"]
    assert summary.tasks == 1


def test_a_host_goes_on_after_an_interrupt() -> None:
    """Ctrl-C leaves at once, in the middle of a guest's turn, and nothing stays half done."""
    written: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    def in_place(_name: str, job: Callable[..., object], _arguments: object) -> Cancellable:
        job()
        raise AssertionError("the job raises")

    with Host(write=written.append, jobs={"interrupted": interrupted}, starter=in_place) as host:
        with pytest.raises(KeyboardInterrupt):
            host.run(Source("a", 'spawn sleep(9); work("interrupted")'))
        summary = host.run(Source("b", 'print("still here")'))

    assert written == ["still here\n"]
    assert summary.tasks == 1


def test_a_budget_of_nothing_is_refused() -> None:
    """A task that may not do anything would be polled for ever."""
    with pytest.raises(ValueError, match="budget must be 1 or more"):
        Host(budget=0)


# ---- what makes it an example -------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_module_uses_a_coroutine_or_a_generator(path: Path) -> None:
    """The point of the example: a language takes part with nothing but ``poll``."""
    forbidden = (ast.AsyncFunctionDef, ast.Await, ast.Yield, ast.YieldFrom)
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert [node.lineno for node in ast.walk(tree) if isinstance(node, forbidden)] == []


def test_guest_calls_nest_deeper_than_the_python_stack() -> None:
    """A call is an entry in a list of the fiber's, not a call of the interpreter's."""
    program = """
        fn deep(n) { if n == 0 { return 0 } return 1 + deep(n - 1) }
        print(deep(50000))
    """

    assert run(program)[0] == "50000\n"


@pytest.mark.slow
def test_endless_recursion_is_an_error_of_the_guest() -> None:
    """It must neither eat the memory nor print a million lines."""
    report = failure("fn forever() { return forever() }\n forever()")

    assert "forever is called more than 200000 calls deep" in report
    assert "... 199984 more ..." in report
