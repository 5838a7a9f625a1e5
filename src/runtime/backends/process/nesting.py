"""How deep this process is in pools of processes: a job's pool, in a job's pool, ...

Source: worker-api-spec.md, section 10.
"""

from __future__ import annotations

from typing import Final

from runtime.errors import PoolDeadlockError

__all__ = ("check_depth", "depth", "enter")

_here: Final = [0, 0]  # how deep, and how deep it may be; 0: no limit is known


def depth() -> int:
    """Return 0 in a process that is no child of a pool, 1 in its child, and so on."""
    return _here[0]


def enter(depth_here: int, max_depth: int) -> None:
    """This process is a child of a pool, *depth_here* deep."""
    _here[:] = depth_here, max_depth


def check_depth(name: str) -> None:
    """Refuse one more pool of processes where they are nested too deep already.

    Raises:
        PoolDeadlockError: it would go on for ever, for all that can be known.
    """
    here, most = _here
    if most and here >= most:
        raise PoolDeadlockError(
            f"{name} would be a pool of processes within {here} others, each in a job of the one "
            f"before (max_depth={most}): does a module that jobs import make a pool, or spawn? "
            'Make it where it is used, or use backend="thread" there'
        )
