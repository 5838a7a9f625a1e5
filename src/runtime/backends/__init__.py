"""How jobs run physically: in threads, in processes, in the caller; each behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.lazy import lazy_names

if TYPE_CHECKING:
    from runtime.backends.base import Backend, BackendCounts, Capabilities, JobSink
    from runtime.backends.inline import InlineBackend
    from runtime.backends.thread import ThreadBackend

__all__ = (
    "Backend",
    "BackendCounts",
    "Capabilities",
    "InlineBackend",
    "JobSink",
    "ThreadBackend",
)

if not TYPE_CHECKING:  # a type checker knows the names from above, and no others
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Backend": "runtime.backends.base",
            "BackendCounts": "runtime.backends.base",
            "Capabilities": "runtime.backends.base",
            "JobSink": "runtime.backends.base",
            "InlineBackend": "runtime.backends.inline",
            "ThreadBackend": "runtime.backends.thread",
        },
    )
