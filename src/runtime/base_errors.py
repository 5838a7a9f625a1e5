"""The errors that others are built upon; users find them in `runtime.errors`."""

from __future__ import annotations

__all__ = ("BrokenPoolError", "FactsError", "WorkerRuntimeError")


class WorkerRuntimeError(Exception):
    """Base of all errors of this package."""

    __module__ = "runtime.errors"


class BrokenPoolError(WorkerRuntimeError, RuntimeError):
    """The pool cannot run jobs any more, for instance because its initializer raised."""

    __module__ = "runtime.errors"


class FactsError(WorkerRuntimeError):
    """An error that builds its message from facts; pickle carries both as they are.

    Its ``__init__`` is not called again on the other side, so that it may have any signature.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _new, (type(self), self.args), self.__dict__


def _new(kind: type[FactsError], args: tuple[object, ...]) -> FactsError:
    """Return an error of *kind* without calling its ``__init__``."""
    error = kind.__new__(kind)
    error.args = args
    return error
