"""Jobs in processes of their own: the backend behind pools of processes."""

from __future__ import annotations

__all__ = ()
