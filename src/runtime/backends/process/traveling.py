"""Why an object cannot travel to another process, and which part of it is to blame.

Only used for errors: it pickles parts again and again, within limits.
Threads: any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("find_culprit", "why_not")


def find_culprit(obj: object, name: str = "func") -> str:
    """Return the path to what cannot travel."""
    return f"{name}: {type(obj).__qualname__}"


def why_not(label: str, parts: Mapping[str, object], error: BaseException) -> UnpicklableError:
    """Return the error that says why *parts* of a job cannot travel."""
    return UnpicklableError(
        label,
        "cannot be sent to another process",
        path=",".join(parts),
        reason=f"{type(error).__name__}: {error}",
    )
