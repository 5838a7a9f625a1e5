"""The demonstration: digest the standard library on workers, and check it against a plain loop."""

from __future__ import annotations

from runtime.demo.command import add_options, main, run

__all__ = ("add_options", "main", "run")
