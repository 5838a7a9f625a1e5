"""Records of a child, logged again by the parent."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process.child_logging import RECORD_FIELDS, LogPlan, encode
from runtime.backends.process.relay import OUTPUT_LOGGER, Relay, log_plan
from tests.unit.runtime.backends.process.logging_here import Records, logging_of_our_own

if TYPE_CHECKING:
    from collections.abc import Iterator

PID = 4711
JOB = (7, "resize")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    with logging_of_our_own() as logger:
        logger.setLevel(logging.INFO)
        yield logger


@pytest.fixture
def records(root: logging.Logger) -> Records:
    """What the handler of the root logger gets."""
    handler = Records()
    root.addHandler(handler)
    return handler


@pytest.fixture
def relay() -> Relay:
    return Relay("thumbs-3")


def encoded(job: tuple[int, str] | None = JOB, **attributes: object) -> bytes:
    fields = {"name": "app.images", "levelno": logging.INFO, "levelname": "INFO", **attributes}
    return encode(logging.makeLogRecord(fields), job)


def changed(**fields: object) -> bytes:
    """Return a record as a child could send it, that does not keep to the form."""
    return json.dumps(json.loads(encoded(msg="x")) | fields).encode()


def test_the_plan_has_the_levels_that_were_set(root: logging.Logger) -> None:
    """And only those: a child has few loggers to make."""
    logging.getLogger("app.images").setLevel(logging.DEBUG)
    logging.getLogger("app.other")
    logging.disable(5)

    plan = log_plan()

    assert plan.root_level == root.level
    assert plan.levels["app.images"] == logging.DEBUG
    assert "app.other" not in plan.levels
    assert plan.disabled_level == 5
    assert plan.raise_exceptions is logging.raiseExceptions
    assert LogPlan._make(tuple(plan)) == plan


def test_a_record_is_logged_as_if_it_were_our_own(relay: Relay, records: Records) -> None:
    """Handlers of the program see what they know, and whose it is."""
    made = logging.LogRecord(
        "app.images", logging.WARNING, "/src/app/images.py", 12, "%d px", (3,), None, "shrink"
    )
    relay.handle(PID, encode(made, JOB))

    (record,) = records.seen
    for name in [
        "name",
        "levelno",
        "levelname",
        "pathname",
        "filename",
        "module",
        "lineno",
        "funcName",
        "created",
        "thread",
        "threadName",
        "exc_text",
        "stack_info",
    ]:
        assert getattr(record, name) == getattr(made, name), name
    assert record.getMessage() == "3 px"
    assert record.args == ()
    assert record.relativeCreated == pytest.approx(made.relativeCreated, abs=0.01)
    assert record.msecs == pytest.approx(made.msecs, abs=1)
    assert (record.process, record.processName) == (PID, "thumbs-3")
    assert (
        vars(record).items()
        >= {
            "worker_name": "thumbs-3",
            "worker_pid": PID,
            "job_id": 7,
            "job_name": "resize",
        }.items()
    )


def test_between_jobs_there_is_no_job(relay: Relay, records: Records) -> None:
    """The attributes are there all the same: a format may name them."""
    relay.handle(PID, encoded(None))

    (record,) = records.seen
    assert vars(record)["job_id"] is vars(record)["job_name"] is None


def test_tracebacks_extra_and_tasks_arrive(relay: Relay, records: Records) -> None:
    """A formatter shows them as it does those of the parent."""
    relay.handle(
        PID, encoded(msg="m", exc_text="ValueError: x", stack_info="Stack", taskName="T", rate=0.5)
    )

    (record,) = records.seen
    assert logging.Formatter("%(message)s %(rate)s").format(record) == "m 0.5\nValueError: x\nStack"
    assert vars(record)["taskName"] == "T"


def test_a_percent_sign_in_the_message_stays(relay: Relay, records: Records) -> None:
    """It is formatted already."""
    relay.handle(PID, encoded(msg="100 %s"))

    assert records.messages() == ["100 %s"]


def test_the_levels_of_the_parent_hold(relay: Relay, records: Records) -> None:
    """They may have been raised after the child began."""
    logging.getLogger("app").setLevel(logging.ERROR)
    logging.getLogger("exact").setLevel(logging.ERROR)

    relay.handle(PID, encoded(name="app.images"))  # no logger here: it would inherit the level
    relay.handle(PID, encoded(name="exact"))
    relay.handle(PID, encoded(name="other", msg="seen"))
    logging.disable(logging.INFO)
    relay.handle(PID, encoded(name="other"))

    assert records.messages() == ["seen"]


def test_the_handlers_of_the_logger_of_that_name_are_asked(relay: Relay, records: Records) -> None:
    """And those above it, up to one that does not propagate."""
    app = logging.getLogger("app")
    of_app = Records()
    app.addHandler(of_app)

    relay.handle(PID, encoded(name="app.images.deep", msg="one"))
    app.propagate = False
    relay.handle(PID, encoded(name="app", msg="two"))
    relay.handle(PID, encoded(name="root", msg="three"))

    assert of_app.messages() == ["one", "two"]
    assert records.messages() == ["one", "three"]


def test_filters_hold_for_the_logger_they_are_on(relay: Relay, records: Records) -> None:
    """As in `logging`: a filter of "app" does not see what "app.images" logs."""
    logging.getLogger("app").addFilter(lambda _record: False)

    relay.handle(PID, encoded(name="app", msg="filtered"))
    relay.handle(PID, encoded(name="app.images", msg="passes"))

    assert records.messages() == ["passes"]


def test_a_child_makes_no_loggers_here(relay: Relay, records: Records) -> None:
    """They would stay for ever, one for each job perhaps."""
    known = set(logging.Logger.manager.loggerDict)

    for number in range(100):
        relay.handle(PID, encoded(name=f"job.{number}"))

    assert len(records.seen) == 100
    assert set(logging.Logger.manager.loggerDict) == known


def test_a_level_without_a_name_here_keeps_that_of_the_child(
    relay: Relay, records: Records
) -> None:
    """`logging.addLevelName` may have been called on either side."""
    relay.handle(PID, encoded(levelno=25, levelname="NOTICE"))
    relay.handle(PID, encoded(levelno=logging.INFO, levelname="information"))
    relay.handle(PID, encoded(levelno=26, levelname=""))

    assert [record.levelname for record in records.seen] == ["NOTICE", "INFO", "Level 26"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"levelno": ' + b"9" * 5000 + b"}",
        b" " * (5 * 1024 * 1024),
    ],
    ids=["empty", "no text", "list", "null", "cut off", "deep", "huge number", "long"],
)
def test_what_is_no_record_is_counted_and_dropped(
    data: bytes, relay: Relay, records: Records
) -> None:
    """A child that was taken over, or has gone mad, harms nobody here."""
    relay.handle(PID, data)

    assert records.seen == []
    assert relay.refused_count == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"msg": ["no", "text"]},
        {"levelno": "high"},
        {"levelno": True},
        {"name": None},
        {"name": "." * 100_000},
        {"pathname": 1, "lineno": {}, "funcName": [], "thread": "x", "threadName": 1},
        {"created": "now"},
        {"created": float("nan")},
        {"created": 1e300},
        {"created": -1.0},
        {"created": 10**400},
        {"exc_text": 1, "stack_info": 2, "taskName": 3},
        {"job": "seven"},
        {"job": ["7", "resize"]},
        {"job": [7]},
        {"extra": [1]},
        {"extra": dict.fromkeys(sorted(RECORD_FIELDS), "hostile")},
        {"extra": {"": 1, "a b": {}}},
        {"unknown": 1},
    ],
    ids="-".join,
)
def test_a_field_of_a_wrong_kind_is_replaced(
    fields: dict[str, Any], relay: Relay, records: Records
) -> None:
    """Every handler can take the record: nothing in it that `logging` relies on is the child's."""
    relay.handle(PID, changed(levelno=logging.ERROR))
    relay.handle(PID, changed(**{"levelno": logging.ERROR, **fields}))

    good, record = records.seen
    text = logging.Formatter("%(asctime)s %(levelname)s %(module)s %(msecs)d").format(record)
    assert text
    assert abs(time.time() - record.created) < 60
    for name in vars(good):
        assert isinstance(getattr(record, name), type(getattr(good, name))) or name in {
            "job_id",
            "job_name",
        }
    assert relay.refused_count == 0


class Raising(logging.Handler):
    """A handler with a bug."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - its shape
        """Fail."""
        raise self.error


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(3), KeyboardInterrupt()])
def test_a_handler_that_raises_is_reported_and_no_more(
    error: BaseException,
    relay: Relay,
    root: logging.Logger,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It must not end the thread that all children depend on."""
    root.addHandler(Raising(error))

    relay.handle(PID, encoded(msg="one"))
    relay.output(PID, "stdout", "two", JOB)

    assert capsys.readouterr().err.count(type(error).__name__) == 2
    assert len(relay.last_lines()) == 2


def test_a_handler_that_raises_with_nowhere_to_report_it(
    relay: Relay, root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without stderr, or that asked for silence."""

    class Closed:
        def write(self, _text: str) -> int:
            raise ValueError("closed")

    root.addHandler(Raising(ValueError("bug")))
    for stderr in (None, Closed()):
        monkeypatch.setattr("sys.stderr", stderr)
        relay.handle(PID, encoded())
    logging.raiseExceptions = False
    relay.handle(PID, encoded())


def test_the_last_lines_are_kept_for_the_report_of_a_crash(relay: Relay) -> None:
    """Records and output, in the order in which they came."""
    for number in range(30):
        relay.handle(PID, encoded(msg=f"record {number}", levelname="INFO"))
        relay.output(PID, "stderr", f"line {number}", None)

    lines = relay.last_lines()

    assert len(lines) == 20
    assert lines[-1] == "stderr: line 29"
    assert lines[-2].endswith("INFO app.images: record 29")
    assert lines[0].endswith("record 20")


def test_a_long_record_leaves_its_last_lines_cut_to_size(relay: Relay) -> None:
    """The end of a traceback says what happened."""
    text = "\n".join(f"line {number}" for number in range(1000))
    relay.handle(PID, encoded(msg="failed", exc_text=f"{text}\n{'x' * 9000}"))

    lines = relay.last_lines()

    assert lines[0] == "line 981"
    assert lines[-1] == "x" * 400 + "..."


def test_output_is_logged_with_worker_and_job(relay: Relay, records: Records) -> None:
    """Stdout informs, stderr warns."""
    relay.output(PID, "stdout", "100 %d", JOB)
    relay.output(PID, "stderr", "oh", None)

    out, err = records.seen
    assert (out.name, out.levelno, out.getMessage()) == (OUTPUT_LOGGER, logging.INFO, "100 %d")
    assert (err.name, err.levelno, err.getMessage()) == (OUTPUT_LOGGER, logging.WARNING, "oh")
    assert vars(out).items() >= {"stream": "stdout", "job_id": 7, "worker_pid": PID}.items()
    assert vars(err).items() >= {"stream": "stderr", "job_id": None}.items()


def test_output_that_there_is_no_memory_for_is_dropped(
    relay: Relay, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads from the children goes on."""

    def no_memory(_fields: object) -> logging.LogRecord:
        raise MemoryError

    monkeypatch.setattr(logging, "makeLogRecord", no_memory)
    relay.output(PID, "stdout", "lost", JOB)

    assert records.seen == []
    assert relay.refused_count == 1
