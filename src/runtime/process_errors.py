"""The errors of jobs and pools in processes; users find them in `runtime.errors`.

Each class builds its message from facts, keeps them as attributes, and takes both through pickle.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from runtime.base_errors import BrokenPoolError, FactsError, WorkerRuntimeError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "ProtocolError",
    "QuarantinedJobError",
    "RestartBudgetError",
    "ResultRefusedError",
    "ResultTooLargeError",
    "UnpicklableError",
    "WorkerCrashedError",
    "WorkerStartupError",
)

_HINTS: Final = {
    "SIGABRT": "native code gave up; the stack says where",
    "SIGBUS": "native code touched memory that is not there; the stack says where",
    "SIGKILL": "out of memory is the usual reason: see the system's log, or limit the job's memory",
    "SIGSEGV": "native code failed; the stack says where",
    "SIGXCPU": "it passed its limit of processor time",
}
_SHOWN_LINES: Final = 10  # of the log and of a history; the attributes have all of them


class ProtocolError(WorkerRuntimeError, RuntimeError):
    """A worker process sent what no worker process sends: it is ended, and its job fails."""

    __module__ = "runtime.errors"


class WorkerCrashedError(FactsError, RuntimeError):
    """The process of a job ended under it.

    Args:
        label: Whose process it was, for instance ``worker 7 'resize'``.
        pid: The process.
        exit_code: What it ended with; negative for a signal, None where nobody could tell.
        log_lines: The last lines that it logged or printed.
        stack: Where it was, as far as the interpreter could write that down.
        peak_bytes: The most memory that it held at a time.
        finished: The job had ended, and its outcome was lost on the way.
        reason: Why the pool ended it, where it did; the usual reason is not told then.

    The attribute ``signal_name`` is the signal's name, or None.
    """

    __module__ = "runtime.errors"

    def __init__(  # noqa: PLR0913 - these are the facts of a crash
        self,
        label: str,
        *,
        pid: int,
        exit_code: int | None,
        log_lines: Iterable[str] = (),
        stack: str = "",
        peak_bytes: int | None = None,
        finished: bool = False,
        reason: str = "",
    ) -> None:
        self.label, self.pid, self.exit_code = label, pid, exit_code
        self.log_lines, self.stack = tuple(log_lines), stack
        self.peak_bytes, self.finished, self.reason = peak_bytes, finished, reason
        self.signal_name = _signal_name(exit_code)
        super().__init__(self._text())

    def _text(self) -> str:
        if self.exit_code is None:
            end, hint = "ended", ""
        elif self.signal_name is None:
            end = f"exited with code {self.exit_code}"
            hint = "something called os._exit, or ended the process by other means"
        else:
            end, hint = f"was killed by {self.signal_name}", _HINTS.get(self.signal_name, "")
        facts = ["the function had returned, and its outcome was lost"] if self.finished else []
        if self.peak_bytes is not None:
            facts.append(f"it held at most {self.peak_bytes / 2**20:.1f} MiB")
        if self.reason:
            facts.append(f"its pool ended it: {self.reason}")
        elif hint:
            facts.append(hint)
        text = f"{self.label} crashed (process {self.pid} {end})"
        text += f": {'; '.join(facts)}" if facts else ""
        return text + _section("last lines", self.log_lines) + _block(self.stack)


class WorkerStartupError(FactsError, BrokenPoolError):
    """A pool is broken because its processes do not get ready to work.

    Where the initializer raised, that error is the cause.

    Args:
        pool: Whose process it was, for instance ``pool 'images'``.
        what: What happened, for instance ``its initializer raised ValueError: no licence``.
        pid: The process, where there was one.
        remote_traceback: The traceback, as the process formatted it.
    """

    __module__ = "runtime.errors"

    def __init__(
        self, pool: str, what: str, *, pid: int | None = None, remote_traceback: str = ""
    ) -> None:
        where = "" if pid is None else f" (process {pid})"
        super().__init__(
            f"{pool} is broken: {what}{where}; "
            "correct what its processes do before their first job, and make a new pool"
            + _block(remote_traceback)
        )
        self.pool, self.what, self.pid = pool, what, pid
        self.remote_traceback = remote_traceback


class RestartBudgetError(FactsError, BrokenPoolError):
    """A pool is broken because its processes died too often.

    Args:
        pool: Which, for instance ``pool 'images'``.
        budget: How many ends it bears.
        window: Within how many seconds.
        history: One line for each of these ends, oldest first.
    """

    __module__ = "runtime.errors"

    def __init__(self, pool: str, budget: int, window: float, history: Iterable[str] = ()) -> None:
        self.pool, self.budget, self.window = pool, budget, window
        self.history = tuple(history)
        super().__init__(
            f"{pool} cannot run jobs any more (more than {budget} of its processes died "
            f"within {window}s): find out why they die, and make a new pool"
            + _section("the ends", self.history)
        )


class QuarantinedJobError(FactsError, RuntimeError):
    """A job is not run again because it killed every process that it ran in.

    Args:
        label: Which, for instance ``worker 7 'resize'``.
        kills: How many processes it took with it.
        history: One line for each of them, oldest first.
    """

    __module__ = "runtime.errors"

    def __init__(self, label: str, kills: int, history: Iterable[str] = ()) -> None:
        self.label, self.kills, self.history = label, kills, tuple(history)
        super().__init__(
            f"{label} is not run again (it killed {kills} processes): "
            "run its function alone to see why" + _section("the ends", self.history)
        )


class ResultTooLargeError(FactsError, ValueError):
    """A job's result is larger than its pool lets through; sizes are in bytes.

    Args:
        label: Whose result it is, for instance ``worker 7 'resize'``.
        size: Its size, pickled.
        limit: The largest size allowed.
    """

    __module__ = "runtime.errors"

    def __init__(self, label: str, size: int, limit: int) -> None:
        super().__init__(
            f"{label} returned too much ({size} bytes): at most {limit} are allowed; "
            "return less, write it to a file, or raise the pool's limit"
        )
        self.label, self.size, self.limit = label, size, limit


class ResultRefusedError(FactsError, TypeError):
    """A job's result is no plain data, and its pool takes nothing else.

    Args:
        label: Whose result it is, for instance ``worker 7 'resize'``.
        what: What there is in it, and where: ``result['cfg']: app.Config``.
        verb: What the job did with it: a report of progress is reported.
    """

    __module__ = "runtime.errors"

    def __init__(self, label: str, what: str, *, verb: str = "returned") -> None:
        super().__init__(
            f"{label} {verb} what is no plain data ({what}): return numbers, texts, bytes, "
            "arrays and containers of these, or let the pool take any result"
        )
        self.label, self.what = label, what


class UnpicklableError(FactsError, TypeError):
    """A function, an argument or a result cannot travel between processes; the cause says why.

    Args:
        label: Whose it is, for instance ``worker 7 'resize'``.
        what: What went wrong, in a few words.
        path: The way to the object, ``func.__closure__[1] 'cfg' -> .lock: _thread.lock``.
        reason: What its pickling raised.
        advice: What to do.
    """

    __module__ = "runtime.errors"

    def __init__(
        self, label: str, what: str, *, path: str = "", reason: str = "", advice: str = ""
    ) -> None:
        text = f"{label}: {what}"
        text += f" ({path})" if path else ""
        text += f": {reason}" if reason else ""
        super().__init__(text + (f"; {advice}" if advice else ""))
        self.label, self.what, self.path = label, what, path
        self.reason, self.advice = reason, advice


def _signal_name(exit_code: int | None) -> str | None:
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # one of the real-time signals between the named ones
        return f"signal {-exit_code}"


def _section(title: str, lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    shown = lines[-_SHOWN_LINES:]
    left_out = [f"... {len(lines) - len(shown)} more"] if len(shown) < len(lines) else []
    return "\n".join([f"\n{title}:", *(f"  {line}" for line in (*left_out, *shown))])


def _block(text: str) -> str:
    return f'\n"""\n{text.rstrip()}\n"""' if text.strip() else ""
