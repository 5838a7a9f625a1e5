"""Bad arguments of `spawn` and its kin, refused where they were given.

Source: worker-api-spec.md, section 2.
"""

from __future__ import annotations

import functools
from contextvars import Context
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = (
    "ASYNC_FLAGS",
    "MAX_WORKERS",
    "bind_arguments",
    "check_at_least",
    "check_callable",
    "check_context",
    "check_name",
    "check_pool",
    "check_workers",
)

# CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR, as `inspect` names them
ASYNC_FLAGS: Final = 0x0080 | 0x0100 | 0x0200
MAX_WORKERS: Final = 10_000


def check_callable(func: object) -> None:
    """Refuse what cannot be called, and what would only give a coroutine.

    Raises:
        TypeError: *func* is not callable, or is a coroutine function.
    """
    if type(func) is FunctionType:  # the usual case, in two steps
        if func.__code__.co_flags & ASYNC_FLAGS:
            raise _is_coroutine_function(func)
        return
    if not callable(func):
        raise TypeError(
            f"spawn needs a function, got {func!r} ({type(func).__name__}): "
            "pass something callable, for instance lambda: work(x)"
        )
    inner: Any = func  # Any: whatever is wrapped
    while isinstance(inner, functools.partial):
        inner = inner.func
    for one in (inner, getattr(type(inner), "__call__", None)):  # noqa: B004 - the method itself
        one = getattr(one, "__func__", one)  # noqa: PLW2901 - the function of a method
        code = getattr(one, "__code__", None)
        if code is not None and code.co_flags & ASYNC_FLAGS:
            raise _is_coroutine_function(func)


def _is_coroutine_function(func: object) -> TypeError:
    return TypeError(
        f"spawn cannot run the coroutine function {func!r}: a worker would only make a coroutine "
        "object; spawn it on an Executor, or pass lambda: block_on(func()) to run it in the worker"
    )


def check_name(name: object) -> None:
    """Raise TypeError where *name* is given and is no text."""
    if name is not None and not isinstance(name, str):
        raise TypeError(
            f"name must be a str or None, got {name!r} ({type(name).__name__}); "
            "arguments of the function go into args=(...) and kwargs={...}"
        )


def check_context(context: object) -> None:
    """Raise TypeError where *context* is given and is no context."""
    if context is not None and not isinstance(context, Context):
        raise TypeError(
            f"context must be a contextvars.Context or None, got {context!r}: "
            "pass contextvars.copy_context()"
        )


def bind_arguments(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> Callable[[], Any]:
    """Return *func* with its arguments, ready to be called without any.

    Raises:
        TypeError: *args* is no sequence of arguments, or *kwargs* no mapping of names.
    """
    if isinstance(args, (str, bytes)) or not hasattr(args, "__iter__"):
        raise TypeError(f"args must be a tuple of arguments, got {args!r}: write args=(x,)")
    if kwargs is not None and not hasattr(kwargs, "keys"):
        raise TypeError(f"kwargs must be a mapping of names, got {kwargs!r}: write kwargs={{...}}")
    if not args and not kwargs:
        return func
    if kwargs and not all(isinstance(name, str) for name in cast("Iterable[object]", kwargs)):
        raise TypeError(f"kwargs must be a mapping of names, got {kwargs!r}: write kwargs={{...}}")
    return functools.partial(func, *args, **(kwargs or {}))


def check_at_least(lowest: int, name: str, value: object) -> int:
    """Return *value* where it is a whole number from *lowest* on.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below *lowest*.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{name} must be a whole number, got {value!r} ({type(value).__name__}): pass an int"
        )
    if value < lowest:
        raise ValueError(f"{name} must be {lowest} or more, got {value}")
    return value


def check_pool(name: object, clock: object, **hooks: object) -> None:
    """Refuse a name, a clock or *hooks* of a pool that would only be noticed when needed.

    Raises:
        TypeError: one of them is of the wrong type.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {name!r} ({type(name).__name__})")
    if not callable(getattr(clock, "now", None)):
        raise TypeError(
            f"clock must have a method now(), got {clock!r} ({type(clock).__name__}): "
            "leave it out for the system's clock"
        )
    for what, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise TypeError(
                f"{what} must be a function or None, got {hook!r} ({type(hook).__name__})"
            )


def check_workers(max_workers: object) -> int:
    """Return *max_workers* where it is a number of workers that makes sense.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1 or above what any machine bears.
    """
    if isinstance(max_workers, bool) or not isinstance(max_workers, int):
        raise TypeError(
            f"max_workers must be a whole number, got {max_workers!r} "
            f"({type(max_workers).__name__}): pass an int, or None for one per CPU"
        )
    if not 1 <= max_workers <= MAX_WORKERS:
        raise ValueError(
            f"max_workers must be from 1 to {MAX_WORKERS}, got {max_workers}: "
            "pass None for one per CPU"
        )
    return max_workers
