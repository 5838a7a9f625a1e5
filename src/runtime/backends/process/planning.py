"""What a child is told before its first job: how to be.

Source: process-wire-spec.md, section 7.3; ADR-009.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.backends.process import nesting
from runtime.backends.process.packing import THRESHOLD, Packer
from runtime.backends.process.relay import log_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process_options import ProcessSettings

__all__ = ("Plans",)


class _Hook(NamedTuple):
    """What a function of the pool's is called in messages."""

    label: str


class Plans:
    """Makes the plans of one pool's children. For the collector's thread.

    Args:
        settings: The pool's options.

    Raises:
        UnpicklableError: the initializer or the finalizer cannot travel.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        packer = Packer()
        self._initializer = _packed(packer, settings.initializer, "the initializer")
        self._finalizer = _packed(packer, settings.finalizer, "the finalizer")

    def make(self) -> bytes:
        """Return the payload of a `PLAN` frame."""
        settings = self._settings
        plan = {
            "environ": dict(os.environ),
            "logging": tuple(log_plan()),
            "depth": nesting.depth() + 1,
            "max_depth": settings.max_depth,
            "max_memory_bytes": settings.max_memory_bytes,
            "initializer": self._initializer,
            "finalizer": self._finalizer,
            "server": (
                THRESHOLD,
                settings.max_message_bytes,
                settings.max_rss_bytes,
                settings.results == "data",
            ),
        }
        return pickle.dumps(plan, pickle.HIGHEST_PROTOCOL)


def _packed(
    packer: Packer, func: Callable[[], Any] | None, what: str
) -> tuple[bytes, bytes] | None:
    if func is None:
        return None
    packed = packer.pack(func, _Hook(what), in_band=True)
    return packed.function, packed.call
