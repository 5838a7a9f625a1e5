"""Which source of children a pool gets.

Source: ADR-009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.backends.process.template_source import TemplateSource

if TYPE_CHECKING:
    from runtime.backends.process.starting import ChildSource
    from runtime.backends.process_options import ProcessSettings

__all__ = ("make_source",)


def make_source(settings: ProcessSettings) -> ChildSource:
    """Return a source of children as *settings* want it."""
    if settings.start_method == "spawn":
        from runtime.backends.process.spawn_source import SpawnSource  # noqa: PLC0415 - one of two

        return SpawnSource(settings.preload)
    return TemplateSource(settings.preload)
