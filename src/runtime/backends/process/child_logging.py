"""The logging of a child: each record goes to the parent, which decides what becomes of it.

Owns: the one handler of the child's root logger, and the form in which a record travels: JSON of
plain fields, so that reading one runs nobody's code. The message and the traceback are formatted
here; the arguments stay here.
Threads: any; records of one child go out one after the other. A record that is logged while this
thread is sending one (by a signal handler, by the sending itself) goes out after it.
Invariant: a record leaves at once. There is no queue that a killed child could take along.

A record is shown once, by the parent's handlers. So `install` takes away the handlers that are
there already, of preloaded modules that configure logging as they are imported; and every
logger passes its records on. Handlers that are added later, by a job or an initializer, stay
and are served too.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("RECORD_FIELDS", "LogPlan", "apply_levels", "encode", "install")

_TEXT: Final = 32 * 1024  # characters of a message, of a traceback, of a stack
_NAME: Final = 512  # characters of a name or a path
_EXTRA_TEXT: Final = 1024  # characters of one value that was given as ``extra=``
_EXTRA_VALUES: Final = 100  # values of one record, those in containers included
_EXTRA_DEPTH: Final = 4

RECORD_FIELDS: Final = frozenset(
    {*vars(logging.makeLogRecord({})), *dir(logging.LogRecord)}
    | {"asctime", "message", "taskName"}  # of formatters; of Python 3.12
    | {"job_id", "job_name", "worker_name", "worker_pid"}  # of the parent
)
"""Names of attributes that no ``extra=`` may set."""


class LogPlan(NamedTuple):
    """What a child's logging takes from the parent's; a plain tuple of it is enough to send it."""

    root_level: int
    levels: dict[str, int]  # by name: the loggers that have a level of their own
    disabled_level: int  # see `logging.disable`
    raise_exceptions: bool  # see `logging.raiseExceptions`


def install(
    plan: LogPlan,
    send: Callable[[bytes], object],
    job: Callable[[], tuple[int, str] | None],
) -> None:
    """Send every record of this process to the parent, with the levels of *plan*.

    Args:
        plan: Made by the parent.
        send: Called with one encoded record, on whichever thread logs. Never called while a
            call of it for another record has not returned, but maybe while this thread sends
            something else: a signal handler may log. An `OSError` is swallowed.
        job: Gives number and name of the job that runs now.
    """
    root = logging.getLogger()
    for logger in (root, *_loggers().values()):
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
        logger.propagate = True
    apply_levels(plan)
    root.addHandler(_ToParent(send, job))


def apply_levels(plan: LogPlan) -> None:
    """Give all loggers of this process the levels of *plan*, and none of their own to the rest."""
    levels = plan.levels
    loggers = _loggers()
    wanted = {name: levels.get(name, logging.NOTSET) for name in (*loggers, *levels)}
    for name, level in wanted.items():
        logger = loggers.get(name) or logging.getLogger(name)
        if logger.level != level:  # setting one empties the caches of all loggers
            logger.setLevel(level)
    logging.getLogger().setLevel(plan.root_level)
    logging.disable(plan.disabled_level)
    logging.raiseExceptions = plan.raise_exceptions


def _loggers() -> dict[str, logging.Logger]:
    found = logging.Logger.manager.loggerDict.copy()  # the rest of it holds a place for a name
    return {name: logger for name, logger in found.items() if isinstance(logger, logging.Logger)}


class _ToParent(logging.Handler):
    """Sends each record to the parent, at once."""

    def __init__(
        self, send: Callable[[bytes], object], job: Callable[[], tuple[int, str] | None]
    ) -> None:
        super().__init__()
        self._send = send
        self._job = job
        self._pid = os.getpid()
        self._nested: list[bytes] | None = None  # protected by the handler's lock
        # Invariant: a list while a record is being sent, and only then.

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*."""
        if os.getpid() != self._pid:  # forked by a job: the channel is not this process's
            _last_resort(record)
            return
        try:
            data = encode(record, self._job())
            nested = self._nested
            if nested is None:
                self._send_all(data)
            elif len(nested) < _NESTED:
                nested.append(data)
        except RecursionError:  # as the handlers of `logging` do
            raise
        except Exception:  # noqa: BLE001 - as above: a record must not fail the job
            self.handleError(record)

    def _send_all(self, data: bytes) -> None:
        """Send *data*, then what was logged meanwhile."""
        self._nested = following = [data]
        try:
            for each in following:  # grows under way; never beyond _NESTED
                self._send(each)
        except OSError:
            return  # the parent has gone; nobody is left to be told
        finally:
            self._nested = None


_NESTED: Final = 64  # records logged while one is sent; a sender that logs would never end


def _last_resort(record: logging.LogRecord) -> None:
    handler = logging.lastResort
    if handler is not None and record.levelno >= handler.level:
        handler.handle(record)


def encode(record: logging.LogRecord, job: tuple[int, str] | None) -> bytes:
    """Return *record* as the parent's `Relay.handle` takes it: JSON, bounded in size.

    Raises:
        Exception: what formatting the message or the traceback raised.
    """
    fields: dict[str, object] = {
        "name": _cut(str(record.name), _NAME),
        "levelno": int(record.levelno),
        "levelname": _cut(str(record.levelname), _NAME),
        "msg": _cut(record.getMessage(), _TEXT),
        "pathname": _cut(str(record.pathname), _NAME),
        "lineno": record.lineno,
        "funcName": _cut(str(record.funcName), _NAME),
        "created": record.created,
        "thread": record.thread,
        "threadName": _cut(str(record.threadName), _NAME),
        "job": job,
    }
    task = getattr(record, "taskName", None)  # from Python 3.12 on
    if task is not None:
        fields["taskName"] = _cut(str(task), _NAME)
    if record.exc_info or record.exc_text:
        fields["exc_text"] = _cut(_traceback(record), _TEXT, keep_end=True)
    if record.stack_info:
        fields["stack_info"] = _cut(str(record.stack_info), _TEXT, keep_end=True)
    extra = _Plain().extra(vars(record))
    if extra:
        fields["extra"] = extra
    return json.dumps(fields, default=_text).encode("ascii")


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_text or not record.exc_info:
        return str(record.exc_text)
    return logging.Formatter().formatException(record.exc_info)


def _cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return *text*, shortened where it is longer than *limit*."""
    size = len(text)
    if size <= limit:
        return text
    half = limit // 2 if keep_end else 0
    end = text[size - half :] if half else ""
    return f"{text[: limit - half]}... ({size - limit} characters cut) ...{end}"


class _Plain:
    """Makes plain data of the values that were given as ``extra=``."""

    def __init__(self) -> None:
        self._left = _EXTRA_VALUES

    def extra(self, attributes: Mapping[str, object]) -> dict[str, object]:
        return {
            _cut(name, _NAME): self.of(value)
            for name, value in attributes.items()
            if name not in RECORD_FIELDS and type(name) is str and self._left > 0
        }

    def of(self, value: object, depth: int = _EXTRA_DEPTH) -> object:
        """Return *value* where it is plain, else its text: a format that names it still works."""
        self._left -= 1
        if value is None or isinstance(value, (bool, float)):
            return value
        if type(value) is int and -(2**63) <= value < 2**63:
            return value
        if depth and isinstance(value, (list, tuple)):
            return [self.of(each, depth - 1) for each in value if self._left > 0]
        if depth and isinstance(value, dict):
            return {
                _text(key): self.of(each, depth - 1)
                for key, each in value.items()
                if self._left > 0
            }
        return _text(value)


def _text(value: object) -> str:
    """Return the text of *value*, of bounded length."""
    try:
        return _cut(str(value), _EXTRA_TEXT)
    except Exception:  # noqa: BLE001 - one value must not cost the record
        return f"<unprintable {type(value).__name__}>"
