"""What tests with a scripted backend have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runtime.workers.cancelling import cancel_each

if TYPE_CHECKING:
    from runtime.testing import ScriptedBackend

__all__ = ("end_scripted",)


def end_scripted(backend: ScriptedBackend) -> None:
    """Give all that a test has left its end: the exit of the interpreter would name it."""
    for job in backend.started:
        backend.crash(job)
    cancel_each(cast("list[Any]", backend.drain()))  # Any: futures, of whatever type
