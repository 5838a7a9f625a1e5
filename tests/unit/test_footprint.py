"""What the package does by itself, beside what it is asked for: as good as nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import runtime

SOURCE: Final = Path(runtime.__file__).resolve().parents[1]

# Runs in a fresh interpreter: each step's effects, as JSON. The audit hook sees what every
# function of the standard library that opens, connects or starts something tells the interpreter.
PROGRAM: Final = """
import atexit, json, os, signal, sys, threading, time
deeds = []
WATCHED = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork")

def hook(event, arguments):
    if event.startswith(WATCHED):
        deeds.append(event)
    elif event == "open" and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR) and "__pycache__" not in str(arguments[0]):
            deeds.append(f"open {arguments[0]}")

def handlers():
    return [str(signal.getsignal(number)) for number in signal.valid_signals()]

def descriptors():
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []

def look():
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "exit hooks": atexit._ncallbacks(),
        "handlers": handlers(),
        "descriptors": len(descriptors()),
        "modules": sorted(sys.modules),
        "deeds": list(deeds),
    }

sys.addaudithook(hook)
steps = [look()]
STEPS
print(json.dumps(steps))
"""


def effects_of(*statements: str) -> list[dict[str, Any]]:  # Any: what JSON holds
    """Run *statements* in a fresh interpreter; return what is there before, and after each."""
    steps = "\n".join(f"{statement}\nsteps.append(look())" for statement in statements)
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.replace("STEPS", steps)],
        # Bytecode that the interpreter writes is no deed of the package.
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    found: list[dict[str, Any]] = json.loads(child.stdout)  # Any: as above
    return found


@pytest.mark.process
def test_importing_the_package_starts_nothing_and_loads_nothing_dear() -> None:
    """A program that embeds it pays for what it uses, and for nothing else."""
    before, after = effects_of("import runtime")

    for what in ("threads", "exit hooks", "handlers", "descriptors", "deeds"):
        assert after[what] == before[what], what
    dear = {
        *("asyncio", "concurrent.futures", "ctypes", "logging", "multiprocessing"),
        *("selectors", "socket", "trio"),
    }
    # What is there before came with whoever watches this child, such as the coverage tool.
    assert dear & (set(after["modules"]) - set(before["modules"])) == set()


@pytest.mark.process
def test_an_executor_makes_no_thread_no_handler_and_no_hook() -> None:
    """Several runtimes in one process, and a host with threads and signals of its own."""
    drive = "from runtime import *; executor = Executor(); executor.run_until_complete(sleep(0.01))"
    before, after = effects_of(drive)

    for what in ("threads", "exit hooks", "handlers", "descriptors", "deeds"):
        assert after[what] == before[what], what


@pytest.mark.process
def test_no_thread_is_started_before_the_first_job() -> None:
    """A pool that nobody uses is an object; one that is used has its workers."""
    before, made, used = effects_of(
        "from runtime import *; pool = WorkerPool(4)", "pool.spawn(int).result()"
    )

    assert made["threads"] == before["threads"]
    assert set(used["threads"]) == {*before["threads"], "vela-worker-1"}
    assert used["handlers"] == before["handlers"]


@pytest.mark.process
def test_all_pools_share_one_hook_for_the_exit() -> None:
    """The first one makes it, beside those of the standard library's own modules."""
    _, one, many = effects_of(
        "from runtime import *; pools = [WorkerPool()]", "pools += [WorkerPool() for _ in range(9)]"
    )

    assert many["exit hooks"] == one["exit hooks"]


@pytest.mark.process
def test_work_opens_no_connection_writes_no_file_and_starts_no_program() -> None:
    """The page on security says so."""
    work = (
        "from runtime import *\n"
        "results = list(Worker.map(str, range(20), chunksize=3))\n"
        "late = Worker.spawn(time.sleep, 0.01, args=(0.05,))\n"
        "late.exception()\n"
        "async def main(): await sleep(0.01); return await Worker.spawn_all([int, str])\n"
        "block_on(main())\n"
        "Worker.spawn(lambda: Worker.current().sleep(30), interrupt=True).cancel()\n"
        "Worker.get_pool().shutdown()"
    )
    before, after = effects_of(work)

    assert after["deeds"] == before["deeds"] == []
