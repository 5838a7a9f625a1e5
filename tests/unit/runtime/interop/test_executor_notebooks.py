"""Executors in a notebook: a loop runs already, and functions live in cells."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.faults.children import run_program

if TYPE_CHECKING:
    from pathlib import Path

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
