"""The options of a pool of processes, and what may be said about them.

Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from runtime.clock import check_timeout

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Mapping, Sequence

__all__ = ("ProcessOptions", "ProcessSettings", "StartMethod", "check_process_options")

StartMethod = Literal["template", "spawn"]


class ProcessOptions(TypedDict, total=False):
    """What `WorkerPool` takes beyond its own arguments where ``backend="process"``."""

    start_method: StartMethod
    """``"template"``: children are forked by a process of one thread that does nothing else
    (the default on Linux); ``"spawn"``: each is a fresh interpreter (the default elsewhere)."""
    preload: Sequence[str]
    """Modules that the template imports before it forks the first child."""
    min_workers: int
    """How many children an idle pool keeps (default 0)."""
    idle_timeout: float | None
    """Seconds after which a child without a job leaves (default 60); None: never."""
    startup_timeout: float | None
    """Seconds that a child has from its start to the end of its initializer (default 60)."""
    finalizer: Callable[[], object] | None
    """Called in a child that leaves, after its last job. Not in one that is killed."""
    grace: float | None
    """Seconds that a job which is asked to stop has before SIGTERM, and from there to SIGKILL
    (default 0.5). None: it is only asked."""
    max_jobs_per_worker: int | None
    """Jobs after which a child is replaced (default: none)."""
    max_rss_bytes: int | None
    """Memory of its own after which a child is replaced, between jobs (default: none)."""
    max_memory_bytes: int | None
    """Address space of a child (``RLIMIT_AS``): allocations beyond it fail (default: none)."""
    max_message_bytes: int
    """The largest job or result (default 4 GiB)."""
    max_output_bytes: int | None
    """What one job may print where that is captured (default: no limit)."""
    capture_output: bool
    """Whether what jobs print is logged here, by ``runtime.output`` (default False)."""
    results: Literal["any", "data"]
    """``"data"``: only plain data is accepted from children; nothing they send is unpickled
    that could run code here (default ``"any"``)."""
    context_vars: Sequence[contextvars.ContextVar[Any] | str]
    """The context variables that jobs see: variables of modules, or ``"module:name"``."""
    retry_on_crash: int
    """How often a job whose child died is run again (default 0: never twice)."""
    max_crashes: int
    """Children that one and the same call may kill before it is refused (default 3)."""
    max_restarts: int
    """Children that may crash within *restart_window* before the pool is broken (default 32)."""
    restart_window: float
    """Seconds, more than 0 (default 60)."""
    max_depth: int
    """How deep pools of processes may nest, a job's pool in a job's pool (default 4)."""


class ProcessSettings(NamedTuple):
    """All options of one pool of processes; see `ProcessOptions`."""

    max_workers: int = 1
    name: str = "pool"
    initializer: Callable[[], object] | None = None
    start_method: StartMethod = "template"
    preload: tuple[str, ...] = ()
    min_workers: int = 0
    idle_timeout: float | None = 60.0
    startup_timeout: float | None = 60.0
    finalizer: Callable[[], object] | None = None
    grace: float | None = 0.5
    max_jobs_per_worker: int | None = None
    max_rss_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_message_bytes: int = 1 << 32
    max_output_bytes: int | None = None
    capture_output: bool = False
    results: Literal["any", "data"] = "any"
    context_vars: tuple[contextvars.ContextVar[Any] | str, ...] = ()
    retry_on_crash: int = 0
    max_crashes: int = 3
    max_restarts: int = 32
    restart_window: float = 60.0
    max_depth: int = 4


_WHOLE = {  # the lowest value of each
    "min_workers": 0,
    "max_message_bytes": 4096,
    "retry_on_crash": 0,
    "max_crashes": 1,
    "max_restarts": 0,
    "max_depth": 1,
}
_WHOLE_OR_NONE = {
    "max_jobs_per_worker": 1,
    "max_rss_bytes": 1,
    "max_memory_bytes": 1 << 20,
    "max_output_bytes": 0,
}
_SPANS = ("idle_timeout", "startup_timeout", "grace", "restart_window")
_LISTS = ("preload", "context_vars")
_WORDS = {"start_method": ("template", "spawn"), "results": ("any", "data")}


def check_process_options(
    options: Mapping[str, Any],
    max_workers: int,
    name: str,
    initializer: Callable[[], object] | None,
) -> ProcessSettings:
    """Return the settings that *options* make.

    Raises:
        TypeError: an option is unknown, or of the wrong type.
        ValueError: one is out of range.
    """
    given = dict(options)
    unknown = sorted(given.keys() - ProcessOptions.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"WorkerPool has no option {', '.join(unknown)}: those of a pool of processes are "
            + ", ".join(sorted(ProcessOptions.__annotations__))
        )
    for option, value in given.items():
        given[option] = _checked(option, value)
    given.setdefault("start_method", "template" if sys.platform == "linux" else "spawn")
    if given.get("min_workers", 0) > max_workers:
        raise ValueError(
            f"min_workers is {given['min_workers']}, more than max_workers ({max_workers})"
        )
    return ProcessSettings(max_workers=max_workers, name=name, initializer=initializer, **given)


def _checked(option: str, value: Any) -> Any:  # noqa: ANN401 - Any: each option has its own type
    """Return *value* as the option wants it; see `check_process_options`."""
    if option in _WHOLE:
        return _whole(option, value, _WHOLE[option])
    if option in _WHOLE_OR_NONE:
        return None if value is None else _whole(option, value, _WHOLE_OR_NONE[option])
    if option in _SPANS:
        return _span(option, value)
    if option in _WORDS:
        if value not in _WORDS[option]:
            raise ValueError(f"{option} must be one of {_WORDS[option]}, got {value!r}")
        return value
    if option in _LISTS:
        return _list(option, value)
    if option == "capture_output":
        _must(isinstance(value, bool), "capture_output must be True or False", value)
    else:
        _must(value is None or callable(value), f"{option} must be a function or None", value)
    return value


def _must(holds: object, what: str, value: object) -> None:
    if not holds:
        raise TypeError(f"{what}, got {value!r} ({type(value).__name__})")


def _list(option: str, value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - each has its own type
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{option} must be a list, got {value!r}: write {option}=[...]")
    items = tuple(value)
    if option == "preload":
        for item in items:
            _must(isinstance(item, str), "preload must be a list of names of modules", item)
    return items


def _span(option: str, value: float | None) -> float | None:
    if option == "restart_window" and value is None:
        raise TypeError("restart_window must be a number of seconds, got None")
    span = check_timeout(option, value)
    if option == "restart_window" and not value:  # no crash would ever count
        raise ValueError(f"restart_window must be more than 0, got {value}")
    return span


def _whole(option: str, value: object, lowest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{option} must be a whole number, got {value!r} ({type(value).__name__})")
    if value < lowest:
        raise ValueError(f"{option} must be {lowest} or more, got {value}")
    return value
