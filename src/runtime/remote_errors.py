"""What stands for an error of another process, and for its traceback; see `runtime.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.base_errors import FactsError, WorkerRuntimeError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("RemoteError", "RemoteTraceback")


class RemoteTraceback(WorkerRuntimeError):  # noqa: N818 - it is shown, not caught
    """The traceback of an error in a worker process: the cause of that error here.

    Args:
        text: The traceback as the process formatted it.
        pid: The process.
    """

    __module__ = "runtime.errors"

    def __init__(self, text: str, pid: int | None = None) -> None:
        super().__init__(text, pid)
        self.text, self.pid = text, pid

    def __str__(self) -> str:
        where = "" if self.pid is None else f"in process {self.pid}"
        return f'{where}\n"""\n{self.text.rstrip()}\n"""'


class RemoteError(FactsError):
    """Stands for an error of a worker process that cannot be brought here as what it is.

    Args:
        label: Whose error it is, for instance ``worker 7 'resize'``.
        type_names: The full name of its type, then those of the bases.
        message: Its text.
        reason: Why it is not here itself.
        args_text: The ``repr`` of its ``args``.
        remote_traceback: Its traceback, as the process formatted it.
    """

    __module__ = "runtime.errors"

    def __init__(
        self,
        label: str,
        type_names: Iterable[str],
        message: str,
        *,
        reason: str = "",
        args_text: str = "",
        remote_traceback: str = "",
    ) -> None:
        self.label, self.message, self.reason = label, message, reason
        self.type_names = tuple(type_names)
        self.args_text, self.remote_traceback = args_text, remote_traceback
        raised = f"{self.type_name}: {message}" if message else self.type_name
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{label} raised {raised}; "
            f"this stands for that error, which cannot be rebuilt here{why}"
        )

    @property
    def type_name(self) -> str:
        """The full name of the error's type, ``package.module.Name``."""
        return self.type_names[0] if self.type_names else "an unknown error"

    def is_a(self, kind: type[BaseException] | str) -> bool:
        """Tell whether the error was a *kind*, a class or its full name."""
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        return name in self.type_names or f"builtins.{name}" in self.type_names
