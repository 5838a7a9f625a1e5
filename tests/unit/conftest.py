"""Fixtures for all unit tests."""

from __future__ import annotations

import compileall
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runtime
from runtime.async_runtime.callback_thread import must_hand_over
from runtime.testing.leaks import LeakCheck

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_sessionstart() -> None:
    """Compile the package once: where bytecode is not written, every child would do it again."""
    if sys.dont_write_bytecode:
        compileall.compile_dir(Path(runtime.__file__).parent, quiet=2)


@pytest.fixture(autouse=True, scope="module")
def collector_sees_this_module_only() -> None:
    """Take what there is before a module's first test out of the collector's sight.

    All tests, the libraries that they need and the reports of those that have run are some
    600 000 objects, and each full collection would look at every one of them: a quarter of the time
    of a run. What a test itself makes is collected as ever.
    """
    gc.collect()
    gc.freeze()


def drop_default_pool() -> None:
    """Take the default pool away and end it, so that each test starts without one."""
    workers = sys.modules.get("runtime.workers")  # a test that needs no pool loads none
    if workers is None:
        return
    pools = [workers.WorkerPool._global_pool, *workers.WorkerPool._named_pools.values()]
    workers.WorkerPool._global_pool = None
    workers.WorkerPool._named_pools.clear()
    for pool in pools:
        if pool is not None:
            pool.shutdown(wait=True, cancel_pending=True)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail the test that leaves a thread, a child process or a file descriptor behind.

    Being set up before a test's other fixtures, it looks when they have cleaned up.
    """
    with LeakCheck():
        yield
        drop_default_pool()
    assert not must_hand_over(), "this thread runs no callbacks any more: it ran another's work"


@pytest.fixture
def eager_thread_switches() -> Iterator[None]:
    """Let threads change places as often as the interpreter allows, to find races."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
