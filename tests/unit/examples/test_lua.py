"""Lua on the runtime: tasks that await, work in threads, and what stops a program."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest.importorskip("lupa.lua54", reason="lupa is not installed")

from examples.lua.__main__ import main
from examples.lua.errors import LuaFailure, LuaMemoryLimitError, LuaTurnLimitError
from examples.lua.host import LuaHost
from runtime import Executor, WorkerFuture
from runtime.errors import FutureTimeoutError
from runtime.interop.guest import attach
from runtime.testing import ManualClock
from runtime.workers import HandleState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "examples" / "lua" / "programs"
GUARD = 10.0  # seconds that only a deadlock reaches

TOUR = """\
hello, moon
hello, world
lengths	5	4
the sum of the first 4000 squares is 21341334000
10	20	30
false	no luck
false	tour.lua:38: attempt to index a nil value (field 'y')
false	work timed out (exceeded 0.05s): give a longer timeout= or cancel the work
"""

ENDLESS = [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "local x <close> = setmetatable({}, {__close = function() while 1 do end end}) while 1 do end",
    "sleep(3600)",
]


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def run(executor: Executor, source: str, **options: Any) -> Any:  # noqa: ANN401 - a value of Lua
    """Run a program with one worker; return its result."""
    with LuaHost(executor, max_workers=1, **options) as host:
        return executor.run_until_complete(host.run(source, "test.lua"), GUARD)


def failure(executor: Executor, source: str, **options: Any) -> LuaFailure:  # noqa: ANN401 - as run
    """Run a program that must fail; return why it did."""
    with pytest.raises(LuaFailure) as caught:
        run(executor, source, **options)
    return caught.value


def printed(executor: Executor, source: str, **options: Any) -> str:  # noqa: ANN401 - as run
    """Run a program; return what it printed."""
    lines: list[str] = []
    run(executor, source, write=lines.append, **options)
    return "".join(lines)


# ---- who drives it ------------------------------------------------------------------------


def test_a_program_on_a_loop_of_our_own(executor: Executor) -> None:
    """The tour shows all there is."""
    lines: list[str] = []
    source = (PROGRAMS / "tour.lua").read_text(encoding="utf-8")

    with LuaHost(executor, write=lines.append) as host:
        result = executor.run_until_complete(host.run(source, "tour.lua"), GUARD)

    assert ("".join(lines), result) == (TOUR, b"done")


def test_the_same_program_as_a_guest_of_asyncio() -> None:
    """Lua does not know who drives the loop; and asyncio goes on beside it."""
    lines: list[str] = []
    source = (PROGRAMS / "tour.lua").read_text(encoding="utf-8")

    async def beside() -> object:
        ticks = 0
        with attach() as guest, LuaHost(guest.executor, write=lines.append) as host:
            task = guest.spawn(host.run(source, "tour.lua"))
            while task.is_pending():
                ticks += 1
                await asyncio.sleep(0.001)
            return await task, ticks > 1

    assert asyncio.run(beside()) == (b"done", True)
    assert "".join(lines) == TOUR


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Programs are files; what goes wrong is told with the place."""
    good, bad = tmp_path / "good.lua", tmp_path / "bad.lua"
    good.write_text('print("grüße", await(work(function(x) return x + 1 end, 41)))', "utf-8")
    bad.write_text("local function f(x) return x.y.z end\nreturn (f({}))", "utf-8")

    assert main([str(good)]) == 0
    assert main(["--asyncio", "--workers", "1", "--memory", "16", str(good)]) == 0
    assert main([str(bad)]) == 1
    assert main(["nowhere.lua"]) == 2

    out, err = capsys.readouterr()
    assert out == "grüße\t42\n" * 2
    assert "lua: bad.lua:1: attempt to index a nil value (field 'y')\nstack traceback:" in err
    assert "in local 'f'" in err
    assert "cannot read nowhere.lua" in err


def test_the_blocks_of_its_readme_run() -> None:
    """They are how a host begins."""
    parser = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))
    blocks = list(parser.parse(ROOT / "examples" / "lua" / "README.md").examples())

    for block in blocks:
        block.evaluate()

    assert len(blocks) == 2


# ---- tasks --------------------------------------------------------------------------------


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Nothing waits in truth: the clock jumps."""
    program = """
        local tasks = {}
        for _, n in ipairs { 3, 1, 2 } do
          tasks[#tasks + 1] = spawn(function() sleep(n) print(n) return n end)
        end
        local values = await(all(tasks))
        print(values[1] + values[2] + values[3])
    """

    with Executor(clock=ManualClock(auto_advance=True)) as executor:
        assert printed(executor, program) == "1\n2\n3\n6\n"


def test_await_inside_of_nested_coroutines_and_pcall(executor: Executor) -> None:
    """A program's generators may wait like everything else."""
    program = """
        local function values()
          local inner = coroutine.wrap(function()
            for i = 1, 2 do coroutine.yield(await(spawn(function() sleep(0) return i end))) end
          end)
          coroutine.yield(select(2, pcall(inner)))
          coroutine.yield(inner() * 10)
        end
        local co = coroutine.create(values)
        print(coroutine.resume(co))
        print(coroutine.resume(co))
        print(coroutine.resume(co), coroutine.status(co))
    """

    assert printed(executor, program) == "true\t1\ntrue\t20\ntrue\tdead\n"


def test_a_plain_yield_of_a_task_lets_others_run(executor: Executor) -> None:
    """Long computations on the loop can be polite."""
    program = """
        local function twice(name) print(name, 1) coroutine.yield() print(name, 2) end
        await(all { spawn(twice, "a"), spawn(twice, "b") })
    """

    assert printed(executor, program) == "a\t1\nb\t1\na\t2\nb\t2\n"


def test_an_error_crosses_tasks_with_place_and_cause(executor: Executor) -> None:
    """Who gets it sees where Lua failed, and as its cause what the await raised."""
    error = failure(executor, 'await(spawn(function() error("no luck") end))')

    assert error.message.endswith("test.lua:1: no luck")
    assert isinstance(error.__cause__, LuaFailure)
    assert "function <test.lua:1>" in error.__cause__.stack


def test_what_is_left_running_is_cancelled(executor: Executor) -> None:
    """A program ends with its main task, and its timers and jobs with it."""
    program = """
        local job = work(function() while true do end end)
        spawn(function() await(job) end)
        spawn(function() sleep(3600) print("late") end)
        sleep(0)
        return job
    """

    job = run(executor, program)

    assert executor.active_tasks() == 0
    assert isinstance(job, WorkerFuture)
    assert job.cancelled()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("x = = 1", "test.lua:1: unexpected symbol near '='"),
        ("await(5)", "await needs what spawn, work, all or timeout gives, got a number"),
        ("await({poll = print})", "got a table"),
        ("sleep(-1)", "sleep needs a number of seconds, 0 or more, got -1"),
        ("spawn(5)", "spawn needs a function, got number"),
        ("work(print)", "work needs a function of the program, written in Lua"),
        ("local n = 1 work(function() return n end)", "but not 'n', which it uses"),
        ("work(function() end, print)", "a function cannot travel to another Lua state"),
        ("local t = {} t.t = t work(function() end, t)", "or contains itself"),
        ("await(work(function() return print end))", "a function cannot travel"),
        ("await(work(function() await(1) end))", "attempt to call a nil value (global 'await')"),
        ("error({})", "(error object is a table value)"),
        ("setmetatable({}, {__gc = print})", "__gc is not available here"),
        ("return spawn(print)._state", "must not look inside of objects of the host"),
        ("assert(load('\\27Lua'))", "attempt to load a binary chunk"),
        ("return python or debug or io or require or string.dump or nil + 1", "on a nil value"),
    ],
)
def test_mistakes_are_told_in_the_words_of_lua(
    executor: Executor, program: str, message: str
) -> None:
    """The message is all that the author of a program gets; and the host stays closed to it."""
    assert message in failure(executor, program).message


# ---- work in threads ----------------------------------------------------------------------


def test_data_travels_both_ways(executor: Executor) -> None:
    """Strings are bytes, tables are copied, nil stays in its place."""
    program = r"""
        local function echo(...) return { n = select("#", ...), values = { ... } } end
        local back = await(work(echo, nil, "\255\0ä", 1.5, { deep = { true } }, nil))
        return back.n == 5 and back.values[2] == "\255\0ä" and back.values[3] == 1.5
          and back.values[4].deep[1] and back.values[1] == nil
    """

    assert run(executor, program) is True


def test_jobs_do_not_see_each_others_globals(executor: Executor) -> None:
    """A worker's state serves many jobs, and each begins alike."""
    program = """
        await(work(function() leaked = 1 load("also = 2")() end))
        return await(work(function() return leaked == nil and also == nil end))
    """

    assert run(executor, program) is True


def test_lua_in_a_worker_does_not_hold_the_gil(executor: Executor) -> None:
    """Threads are not asked to let others run here: a loop that held the GIL would keep it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        program = 'return work(function() print("runs") while true do end end)'
        began = threading.Event()
        with LuaHost(executor, write=lambda _: began.set(), max_workers=1) as host:
            job = executor.run_until_complete(host.run(program), GUARD)
            assert began.wait(GUARD)
            assert sum(range(100_000)) == 4_999_950_000  # Python, meanwhile
            assert job.handle.state is HandleState.RUNNING
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("body", ENDLESS)
def test_an_endless_loop_is_really_stopped_by_a_timeout(executor: Executor, body: str) -> None:
    """The thread is free again: no pcall, coroutine, handler or __close can hold it."""
    program = f"""
        local job = work(function() {body} end)
        print(pcall(await, timeout(0.01, job)))
        print(await(work(function() return "next" end)))
        return job
    """
    lines: list[str] = []

    with LuaHost(executor, write=lines.append, max_workers=1, period=1000) as host:
        job = executor.run_until_complete(host.run(program), GUARD)

    assert "timed out (exceeded 0.01s)" in lines[0]
    assert lines[1] == "next\n"
    assert job.handle.outcome is Outcome.STOPPED


def test_a_task_that_never_waits_is_stopped_for_the_others(executor: Executor) -> None:
    """On the loop nobody else would ever run; the error says where to go with such code."""
    program = """
        local busy = spawn(function() while true do pcall(function() while true do end end) end end)
        print(pcall(await, busy))
        print(await(spawn(function() sleep(0) return "others run" end)))
    """

    said = printed(executor, program, max_turn=100_000, period=1000)

    assert "a task ran 100000 instructions without waiting" in said
    assert said.endswith("others run\n")
    with pytest.raises(LuaTurnLimitError):
        run(executor, "while true do end", max_turn=100_000, period=1000)


def test_a_timeout_of_the_host_stops_the_program_and_its_job(executor: Executor) -> None:
    """What drives the loop has the last word."""
    with LuaHost(executor, max_workers=1, period=1000) as host:
        program = host.run("await(work(function() while true do end end))")
        with pytest.raises(FutureTimeoutError):
            executor.run_until_complete(program, 0.01)

    assert host._jobs.join(0)


# ---- memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hungry", ["local t = {} while true do t[#t + 1] = {} end", 'return ("x"):rep(1 << 30)']
)
@pytest.mark.parametrize("where", ["on the loop", "in a worker"])
def test_a_memory_limit_is_a_clear_error(executor: Executor, hungry: str, where: str) -> None:
    """The state is refused more, and says so; the next job has a fresh one."""
    if where == "on the loop":
        error = failure(executor, hungry, max_memory_bytes=1 << 20)
    else:
        program = f"""
            local ok, problem = pcall(await, work(function() {hungry} end))
            assert(await(work(function() return #("x"):rep(1 << 16) end)) == 1 << 16)
            error(problem, 0)
        """
        error = failure(executor, program, max_memory_bytes=1 << 20)
        assert isinstance(error.__cause__, LuaMemoryLimitError) or error.__cause__ is None

    assert "Lua asked for more memory than the limit (1048576 bytes for each state)" in str(error)
    assert where != "on the loop" or isinstance(error, MemoryError)
