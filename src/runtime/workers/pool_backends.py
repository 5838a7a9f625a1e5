"""Which backend a new pool gets, and how many workers.

Source: worker-api-spec.md, section 8; ADR-006.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from runtime.backends.base import Backend, PoolLock
from runtime.backends.inline import InlineBackend
from runtime.backends.process_options import ProcessOptions, check_process_options
from runtime.backends.thread import ThreadBackend
from runtime.clock import Clock

if TYPE_CHECKING:
    from runtime.async_runtime.reports import UnhandledError
    from runtime.workers.pool_core import PoolCore

__all__ = (
    "BackendChoice",
    "BackendMaker",
    "BackendOptions",
    "PoolOptions",
    "default_max_workers",
    "make_backend",
    "uses_inline",
)

# Called with the pool's lock, which guards what the backend keeps, and the pool's clock.
BackendMaker: TypeAlias = Callable[[PoolLock, Clock], Backend]
BackendChoice: TypeAlias = Literal["thread", "process", "inline"] | BackendMaker | None


class PoolOptions(ProcessOptions, total=False):
    """The keyword arguments of `WorkerPool`, for those who pass them on."""

    backend: BackendChoice
    name: str
    clock: Clock
    initializer: Callable[..., object] | None
    initargs: Sequence[Any]
    on_unhandled: Callable[[UnhandledError], object] | None
    max_lent: int
    max_abandoned: int
    exit_timeout: float


class BackendOptions(NamedTuple):
    """What the built-in backends are made with; see `WorkerPool`."""

    max_workers: int
    name: str
    initializer: Callable[[], object] | None
    max_lent: int
    max_abandoned: int
    process: Mapping[str, Any]  # Any: see `ProcessOptions`


def default_max_workers() -> int:
    """Return the number of CPUs, 4 where it is unknown."""
    return os.cpu_count() or 4


def uses_inline() -> bool:
    """Tell whether the environment asks for jobs in the caller (``RUNTIME_WORKERS_INLINE=1``)."""
    wish = os.environ.get("RUNTIME_WORKERS_INLINE", "").strip().lower()
    return wish in {"1", "true", "yes", "on"}


def make_backend(choice: BackendChoice, core: PoolCore, options: BackendOptions) -> Backend:
    """Return the backend of a new pool.

    Raises:
        ValueError: *choice* is no backend, or a maker that *options* do not go with.
    """
    if choice is None:
        choice = "inline" if uses_inline() else "thread"
    if choice == "process":
        return _make_process_backend(core, options)
    if options.process:
        raise ValueError(
            f"{', '.join(sorted(options.process))}: for a pool of processes only; "
            'say backend="process", or leave it out'
        )
    if choice == "thread":
        return ThreadBackend(
            core.lock,
            core.clock,
            options.max_workers,
            max_lent=options.max_lent,
            max_abandoned=options.max_abandoned,
            initializer=options.initializer,
            name=options.name,
        )
    if choice == "inline":
        return InlineBackend(
            core.lock, core.clock, initializer=options.initializer, name=options.name
        )
    if not callable(choice):
        raise ValueError(  # noqa: TRY004 - an unknown word, most of the time
            "backend must be 'thread', 'process', 'inline', or a function that makes one of the "
            f"pool's lock and clock, got {choice!r}"
        )
    if options.initializer is not None:
        raise ValueError(
            "initializer is for the built-in backends: give it to the backend that you make"
        )
    return choice(core.lock, core.clock)


def _make_process_backend(core: PoolCore, options: BackendOptions) -> Backend:
    """Return a backend of processes; what it needs is loaded now, for the first of them."""
    settings = check_process_options(
        options.process, options.max_workers, options.name, options.initializer
    )
    from runtime.backends.process.backend import ProcessBackend  # noqa: PLC0415 - see above

    return ProcessBackend(core.lock, core.clock, settings)
