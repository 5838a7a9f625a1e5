"""Functions with a cache (`functools.lru_cache`) on their way to another process.

Pickle takes them for functions that can be imported. One that cannot travels as the function in
it, by value, and gets a new cache there, which is empty.
Threads: any; no state.
Source: process-wire-spec.md, section 5.1.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.freezing import is_importable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("CACHED", "rebuild_cache", "reduce_cache")

CACHED: Final[type] = type(functools.lru_cache(str))
_OWN: Final = frozenset({"__wrapped__", "cache_parameters"})  # made anew with the cache
_MISSING: Final = object()


def reduce_cache(cached: Any) -> tuple[Any, ...] | str:  # noqa: ANN401 - Any: as pickle has it
    """Return what pickle takes for *cached*: its name, or how to make it again."""
    if is_importable(cached):
        name: str = cached.__qualname__
        return name
    function, how = cached.__wrapped__, cached.cache_parameters()
    added = {
        name: value
        for name, value in vars(cached).items()
        if name not in _OWN and getattr(function, name, _MISSING) is not value
    }
    # A recursive function holds itself: pickle then keeps the one that was made first.
    return rebuild_cache, (function, how["maxsize"], how["typed"]), added or None


def rebuild_cache(
    function: Callable[..., Any],  # Any: the user's function
    maxsize: int | None,
    typed: bool,
) -> Callable[..., Any]:
    """Return *function* with a cache of its own."""
    return functools.lru_cache(maxsize, typed)(function)
