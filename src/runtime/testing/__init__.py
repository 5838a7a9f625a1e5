"""Helpers for tests of programs that use this package; nothing in it imports them."""

from __future__ import annotations

from runtime.testing.clock import ManualClock
from runtime.testing.leaks import LeakCheck, LeakError, Leaks
from runtime.testing.races import race
from runtime.testing.scripted import ScriptedBackend
from runtime.testing.wakers import CountingWaker

__all__ = (
    "CountingWaker",
    "LeakCheck",
    "LeakError",
    "Leaks",
    "ManualClock",
    "ScriptedBackend",
    "race",
)
