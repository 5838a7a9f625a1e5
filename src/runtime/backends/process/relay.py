"""What a child logs and prints, said again by the parent's loggers.

Owns: the last lines of one child, kept for the report of a crash.
Threads: one feeds a `Relay`, the one that reads from the child; `last_lines` is for any.
Invariant: what comes from a child is data. It runs nothing here but the parent's own handlers
and filters, it makes no logger, and nothing of it can make a method raise.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections import deque
from typing import Final, TypeVar

from runtime.backends.process.child_logging import RECORD_FIELDS, LogPlan

__all__ = ("OUTPUT_LOGGER", "Relay", "log_plan")

OUTPUT_LOGGER: Final = "runtime.output"  # where captured output goes

_LINES: Final = 20  # lines kept
_LINE: Final = 400  # characters of one of them
_RECORD: Final = 4 * 1024 * 1024  # bytes: well above what `encode` makes
_NAME: Final = 2048  # characters of a logger's name that are looked at
_TIMES: Final = 1e11  # seconds since 1970, that a date can be made of
_OUTPUT_LEVELS: Final = {"stdout": logging.INFO, "stderr": logging.WARNING}

T = TypeVar("T")


def log_plan() -> LogPlan:
    """Return what a child that starts now takes over from the logging of this process.

    Thread-safety: may be called from any thread.
    """
    manager = logging.Logger.manager
    loggers = manager.loggerDict.copy()
    levels = {
        name: logger.level
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET
    }
    return LogPlan(logging.getLogger().level, levels, manager.disable, logging.raiseExceptions)


class Relay:
    """Passes the records and the output of one child on. Not thread-safe but for `last_lines`.

    Records get these attributes: ``worker_name``, ``worker_pid``, ``job_id`` and ``job_name``
    (both ``None`` between jobs); ``process`` and ``processName`` are those of the child.

    Args:
        worker_name: Name of the child.
    """

    __slots__ = ("_lines", "refused_count", "worker_name")

    def __init__(self, worker_name: str) -> None:
        self.worker_name = worker_name
        self.refused_count = 0  # records that made no sense, or that there was no memory for
        self._lines: deque[str] = deque(maxlen=_LINES)

    def handle(self, pid: int, data: bytes) -> None:
        """Log the record that child *pid* sent as *data*; never raises."""
        try:
            fields = _decode(data)
            record = self._record(pid, fields, _job(fields.get("job")))
            self._keep(_FORMATTER.format(record))
        except Exception:  # noqa: BLE001 - not one of our records, or no memory for it
            self.refused_count += 1
            return
        _deliver(record)

    def output(self, pid: int, stream: str, line: str, job: tuple[int, str] | None) -> None:
        """Log *line*, which child *pid* wrote to *stream*: "stdout" or "stderr". Never raises."""
        fields: dict[str, object] = {
            "name": OUTPUT_LOGGER,
            "levelno": _OUTPUT_LEVELS[stream],
            "msg": line,
            "extra": {"stream": stream},
        }
        try:
            record = self._record(pid, fields, job)
            self._keep(f"{stream}: {line}")
        except MemoryError:
            self.refused_count += 1
            return
        _deliver(record)

    def last_lines(self) -> tuple[str, ...]:
        """Return the last lines that the child logged or printed, the newest at the end."""
        return tuple(self._lines.copy())  # a copy is made in one step, whoever adds a line

    def _keep(self, text: str) -> None:
        for line in text.splitlines()[-_LINES:]:
            self._lines.append(line if len(line) <= _LINE else f"{line[:_LINE]}...")

    def _record(
        self, pid: int, fields: dict[str, object], job: tuple[int, str] | None
    ) -> logging.LogRecord:
        level = _pick(fields, "levelno", logging.ERROR)
        pathname = _pick(fields, "pathname", "")
        filename = pathname.rpartition("/")[2]
        known = {
            "name": _pick(fields, "name", "root"),
            "levelno": level,
            "levelname": _level_name(level, _pick(fields, "levelname", "")),
            "msg": _pick(fields, "msg", ""),
            "args": (),
            "pathname": pathname,
            "filename": filename,
            "module": filename.rpartition(".")[0] or filename,
            "lineno": _pick(fields, "lineno", 0),
            "funcName": _pick(fields, "funcName", ""),
            "exc_text": _pick(fields, "exc_text", "") or None,
            "stack_info": _pick(fields, "stack_info", "") or None,
            "thread": _pick(fields, "thread", 0),
            "threadName": _pick(fields, "threadName", ""),
            "taskName": _pick(fields, "taskName", "") or None,
            "process": pid,
            "processName": self.worker_name,
            "worker_name": self.worker_name,
            "worker_pid": pid,
            "job_id": job[0] if job else None,
            "job_name": job[1] if job else None,
        }
        record = logging.makeLogRecord(_extra(fields.get("extra")) | known)
        _set_time(record, fields.get("created"))
        return record


_FORMATTER: Final = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


def _decode(data: bytes) -> dict[str, object]:
    if len(data) > _RECORD:
        raise ValueError(f"a log record of {len(data)} bytes")
    fields: object = json.loads(data)
    if not isinstance(fields, dict):
        raise TypeError("a log record that is no object")
    return fields


def _pick(fields: dict[str, object], key: str, default: T) -> T:
    """Return the field where it is of exactly the type of *default*."""
    value = fields.get(key)
    return value if type(value) is type(default) else default


def _job(value: object) -> tuple[int, str] | None:
    match value:
        case [int(number), str(name)]:
            return number, name
        case _:
            return None


def _extra(value: object) -> dict[str, object]:
    """Return what a child may set on a record: never what `logging` relies on."""
    if not isinstance(value, dict):
        return {}
    return {name: each for name, each in value.items() if name not in RECORD_FIELDS}


def _level_name(level: int, of_child: str) -> str:
    name = logging.getLevelName(level)
    return of_child if of_child and name == f"Level {level}" else str(name)


def _set_time(record: logging.LogRecord, created: object) -> None:
    if type(created) is float and 0 <= created < _TIMES:
        record.relativeCreated += (created - record.created) * 1000
        record.created = created
    record.msecs = (record.created - int(record.created)) * 1000


def _deliver(record: logging.LogRecord) -> None:
    """Give *record* to the logger of its name, as if it had been logged here."""
    try:
        logger = _nearest(record.name[:_NAME])
        if logger.name == record.name:
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        elif _would_log(logger, record.levelno):
            # A logger of that name would have neither level, filters nor handlers of its own.
            # It is not made: a child must not fill this process with loggers.
            logger.callHandlers(record)
    except BaseException:  # noqa: BLE001 - a handler's; whoever reads from the child must live on
        _complain()


def _nearest(name: str) -> logging.Logger:
    loggers = logging.Logger.manager.loggerDict
    while name:
        logger = loggers.get(name)
        if isinstance(logger, logging.Logger):
            return logger
        name = name.rpartition(".")[0]
    return logging.getLogger()


def _would_log(logger: logging.Logger, level: int) -> bool:
    return logging.Logger.manager.disable < level and level >= logger.getEffectiveLevel()


def _complain() -> None:
    """Say what a handler of the parent raised, as `logging` does itself."""
    if logging.raiseExceptions and sys.stderr:
        try:
            traceback.print_exc()
        except Exception:  # noqa: BLE001 - stderr may be closed: nobody can be told
            return
