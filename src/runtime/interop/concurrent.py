"""Pools for code that takes an executor of `concurrent.futures`.

`ThreadExecutor` and `ProcessExecutor` have the signatures of the standard library's two, so code is
moved over by changing an import; `PoolExecutor` lends a pool that is there already.
Source: interop-spec.md, section 2; ADR-011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.interop.pool_executor import PoolExecutor
from runtime.interop.thread_executor import ThreadExecutor

if TYPE_CHECKING:
    from runtime.interop.process_executor import ProcessExecutor

__all__ = ("PoolExecutor", "ProcessExecutor", "ThreadExecutor")


def __getattr__(name: str) -> object:
    """Load `ProcessExecutor` when it is asked for: multiprocessing comes with its base class."""
    if name != "ProcessExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runtime.interop.process_executor import ProcessExecutor  # noqa: PLC0415 - see above

    globals()[name] = ProcessExecutor
    return ProcessExecutor
