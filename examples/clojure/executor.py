"""Pools of ours for Basilisp, the Clojure of CPython: `future`, `deref`, `pmap` are unchanged.

Basilisp gives what futures run to whatever `*executor-pool*` is bound to, and expects of it what
its own pool does: ``submit``, which gives a future that `deref` knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import basilisp.main
from basilisp.lang import compiler
from basilisp.lang import runtime as basilisp_runtime
from basilisp.lang import symbol as sym
from basilisp.lang.futures import Future

from runtime.interop.concurrent import PoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime import WorkerPool

__all__ = ("ClojureExecutor", "executor_pool", "run_program")

P = ParamSpec("P")
T = TypeVar("T")

_CORE: Final = "basilisp.core"


class ClojureExecutor(PoolExecutor):
    """Runs futures of Basilisp on *pool*, which stays the caller's. Thread-safe."""

    # Not what the base class gives, just as that of Basilisp's own pool: `deref` wants it so.
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - Future of Basilisp, which has no types
        """Run ``fn(*args, **kwargs)`` on a worker; return a future for `deref`."""
        return Future(super().submit(fn, *args, **kwargs))


@contextmanager
def executor_pool(pool: WorkerPool) -> Iterator[ClojureExecutor]:
    """Bind `*executor-pool*` to *pool*, as ``(binding [*executor-pool* ...] ...)`` does.

    Futures that futures make run there, too: Basilisp hands bindings on to them.
    """
    basilisp.main.init()
    variable = basilisp_runtime.Var.find(sym.symbol("*executor-pool*", ns=_CORE))
    executor = ClojureExecutor(pool)
    try:
        with basilisp_runtime.bindings({variable: executor}):
            yield executor
    finally:
        executor.shutdown()


def run_program(path: Path, pool: WorkerPool) -> object:
    """Run the program in the file *path*, its futures on *pool*; return its last value.

    Raises: what the program raises, or what Basilisp finds wrong with it.
    """
    with executor_pool(pool), basilisp_runtime.ns_bindings("examples.clojure.program") as here:
        here.refer_all(basilisp_runtime.Namespace.get(sym.symbol(_CORE)))
        context = compiler.CompilerContext(filename=str(path))
        return compiler.load_file(path, context, here)
