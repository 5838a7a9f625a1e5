"""What the executors that have a pool of their own share: their arguments, and the pool.

Source: interop-spec.md, section 2.1; ADR-011.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Literal

from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from runtime.backends.process_options import ProcessOptions

__all__ = ("bound_initializer", "new_pool", "number_of_workers")


def number_of_workers(max_workers: Any, default: int) -> int:  # noqa: ANN401 - whatever is given
    """Return how many workers *max_workers* asks for; what is like an int will do.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    if max_workers is None:
        return default
    try:
        count = operator.index(max_workers)
    except TypeError:
        raise TypeError(
            f"max_workers must be a whole number, got {max_workers!r} "
            f"({type(max_workers).__name__}): pass an int, or None"
        ) from None
    if count <= 0:
        raise ValueError(f"max_workers must be greater than 0, got {count}")
    return count


def bound_initializer(initializer: Any, initargs: Any) -> Callable[[], object] | None:  # noqa: ANN401 - as above
    """Return *initializer* with its arguments.

    Raises:
        TypeError: it is neither None nor a function.
    """
    if initializer is None:
        return None
    if not callable(initializer):
        raise TypeError(f"initializer must be a callable, got {initializer!r}")
    return functools.partial(initializer, *initargs) if initargs else initializer


def new_pool(
    max_workers: int,
    backend: Literal["thread", "process"],
    initializer: Callable[[], object] | None,
    **process: Unpack[ProcessOptions],
) -> WorkerPool:
    """Return a pool for one executor."""
    return WorkerPool(
        max_workers,
        backend=backend,
        name=f"the pool of a {backend} executor",
        initializer=initializer,
        **process,
    )
