"""Interrupts that hit the loop itself: a signal may raise between any two steps of it.

What was under way then is finished (`ReadyLoop._left_by`) or done again (`_requeue_all`).
Source: async-runtime-spec.md, section 6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.async_runtime.markers import Marker

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask

__all__ = ("has_ended", "is_own")


def is_own(error: BaseException, task: Any) -> bool:  # noqa: ANN401 - a task or a marker
    """Tell whether *error* came out of *task*, and is no interrupt that hit the loop itself."""
    if type(task) is Marker:  # an interrupt, or a clock that fails
        return False
    return isinstance(error, Exception) or task._arg is not None or has_ended(task)


def has_ended(task: DrivenTask[Any]) -> bool:
    """Tell whether what *task* drives cannot be resumed any more, as far as one can see."""
    source = task.source
    return source is None or (task._arg is None and getattr(source, "cr_frame", None) is None)
