"""How jobs run physically: in threads, in the caller; each behind the same protocol."""

from __future__ import annotations

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
