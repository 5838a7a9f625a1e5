"""Executors in a notebook: a loop runs already, and functions live in cells."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

import pytest

from tests.unit.runtime.faults.children import run_program
from tests.unit.runtime.faults.process_jobs import is_alive, until

GUIDE: Final = Path(__file__).resolve().parents[4] / "docs" / "guides" / "everywhere.md"

# What a notebook's kernel does with a cell: it runs on the loop, and its names are `__main__`'s.
CELLS = """
    import asyncio
    from concurrent.futures import as_completed
    from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor

    factor = 3

    def scale(number):
        return number * factor

    async def cell():
        found = []
        for kind in (ThreadExecutor, ProcessExecutor):
            with kind(2) as executor:
                found.append(await asyncio.get_running_loop().run_in_executor(executor, scale, 2))
                found.append(sum(executor.map(lambda n: scale(n) + 1, range(4), chunksize=2)))
                futures = [executor.submit(scale, n) for n in range(4)]
                bar = tqdm(as_completed(futures), total=4)
                found.append(sum(future.result() for future in bar))
        return found
"""
FOUND = "[6, 22, 18, 6, 22, 18]"


@pytest.mark.process
def test_cells_run_on_threads_and_in_processes_while_a_loop_runs() -> None:
    """Without a guard: nothing imports the main program again."""
    ended = run_program(
        CELLS
        + """
    def tqdm(futures, total):
        return futures
    print(asyncio.run(cell()))
    """
    )

    assert (ended.status, ended.out.strip(), ended.err) == (0, FOUND, "")


@pytest.mark.process
@pytest.mark.skipif(
    importlib.util.find_spec("IPython") is None or importlib.util.find_spec("tqdm") is None,
    reason="IPython or tqdm is not installed",
)
def test_cells_of_ipython_run_with_their_progress_shown(tmp_path: Path) -> None:
    """IPython has a `__main__` of its own, awaits at the top of a cell, and tqdm counts."""
    program = f"""
    os.environ["IPYTHONDIR"] = {str(tmp_path)!r}
    from IPython.core.interactiveshell import InteractiveShell
    from textwrap import dedent
    shell = InteractiveShell.instance()
    shell.run_cell("from tqdm import tqdm")
    assert shell.run_cell(dedent({CELLS!r})).success
    result = shell.run_cell("await cell()")
    assert result.success, result
    print(result.result)
    shell.atexit_operations()
    """
    ended = run_program(program)

    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[-1] == FOUND
    assert ended.err.count("4/4") >= 2


# A real kernel, driven as Jupyter does. All of it is in a process of its own, for what the client
# opens it keeps. `cells` gives, for each: what it shows on stdout and stderr, the value, the error.
KERNEL: Final = """
    import json
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()

    def interrupt():
        manager.interrupt_kernel()
        client.kernel_info()  # a loop that only waits sees the signal when it wakes up next

    def cells(*sources):
        asked = [client.execute(source) for source in sources]
        found = {each: dict(stdout="", stderr="", value="", error="") for each in asked}
        while asked:
            message = client.get_iopub_msg(timeout=20)
            about, kind, said = message["parent_header"], message["msg_type"], message["content"]
            of = found.get(about.get("msg_id"))
            if of is None:
                continue
            if kind == "stream":
                of[said["name"]] += said["text"]
                if said["text"] == "waiting\\n":
                    interrupt()
            elif kind == "execute_result":
                of["value"] = said["data"]["text/plain"]
            elif kind == "error":
                of["error"] = said["ename"]
            elif kind == "status" and said["execution_state"] == "idle":
                asked.remove(about["msg_id"])
        return list(found.values())

    def tell(what):
        print(json.dumps(what))

    def end():
        client.stop_channels()
        manager.shutdown_kernel(now=True)
"""


def run_in_kernel(folder: Path, program: str) -> Any:  # Any: what it tells
    """Run *program*, which has `cells`, and return what it gives to ``tell``."""
    pytest.importorskip("ipykernel")
    pytest.importorskip("jupyter_client")
    homes = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    ended = run_program(
        f"os.environ.update(dict.fromkeys({homes}, {str(folder)!r}))\n"
        + dedent(KERNEL)
        + "try:\n"
        + indent(dedent(program), "    ")
        + "\nfinally:\n    end()\n"
    )
    assert ended.status == 0, ended.err
    return json.loads(ended.out.splitlines()[-1])


@pytest.mark.process
@pytest.mark.slow
def test_the_cells_of_the_guide_run_in_a_kernel(tmp_path: Path) -> None:
    """They say how to use a notebook, and each bar is shown below its own cell."""
    pytest.importorskip("tqdm")
    sources = re.findall(
        r"^```ipython\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    bars = ["100/100" if "total=100" in each else "8/8" * ("tqdm(" in each) for each in sources]

    shown = run_in_kernel(tmp_path, f"tell(cells(*{sources!r}))")

    assert [each["error"] for each in shown] == [""] * len(sources)
    assert [re.findall(r"8/8|100/100", each["stderr"])[-1:] for each in shown] == [
        [bar] * bool(bar) for bar in bars
    ]
    assert len(bars) >= 6
    assert bars.count("8/8") == 2
    assert "WorkerFuture" in "".join(each["value"] for each in shown)


@pytest.mark.process
@pytest.mark.slow
def test_what_a_job_prints_is_shown_below_the_cell_that_spawned_it(tmp_path: Path) -> None:
    """Also where its thread has served another cell before."""
    program = """
        cells("from runtime import Worker, WorkerPool; pool = WorkerPool(1)")
        found = cells(*[f"await pool.spawn(print, args=('cell', {n}))" for n in range(3)])
        tell([each["stdout"] for each in found])
    """

    assert run_in_kernel(tmp_path, program) == ["cell 0\n", "cell 1\n", "cell 2\n"]


@pytest.mark.process
@pytest.mark.slow
def test_an_interrupt_of_the_kernel_ends_the_wait_and_leaves_pools_whole(tmp_path: Path) -> None:
    """A cell that awaits takes its job along; one that blocks in ``result`` does not."""
    program = """
        cells(
            "import asyncio, time",
            "from runtime import WorkerPool; pool = WorkerPool(2, backend='process')",
            "blocking, awaited = (pool.spawn(time.sleep, args=(60,)) for _ in range(2))",
        )
        blocked = cells("print('waiting'); blocking.result()")
        waited = cells(
            "asyncio.get_running_loop().call_later(0.01, print, 'waiting'); await awaited"
        )
        after = cells(
            "print(blocking.done(), awaited.cancelled(), pool.cancel_all())",
            "print(await pool.spawn(lambda: 'next'))",
        )
        tell([(each["error"], each["stdout"]) for each in blocked + waited + after])
    """

    assert run_in_kernel(tmp_path, program) == [
        ["KeyboardInterrupt", "waiting\n"],
        ["CancelledError", "waiting\n"],
        ["", "False True 1\n"],
        ["", "next\n"],
    ]


@pytest.mark.process
@pytest.mark.slow
def test_the_children_end_with_the_kernel(tmp_path: Path) -> None:
    """It is killed, as a restart may do; jobs that run are no reason to stay."""
    program = """
        cells("import os, time; from runtime import WorkerPool")
        found = cells(
            "pool = WorkerPool(1, backend='process'); await pool.spawn(os.getpid)",
            "busy = pool.spawn(time.sleep, args=(60,))",
        )
        manager.shutdown_kernel(now=True)
        tell(int(found[0]["value"]))
    """

    pid = run_in_kernel(tmp_path, program)

    until(lambda: not is_alive(pid))
