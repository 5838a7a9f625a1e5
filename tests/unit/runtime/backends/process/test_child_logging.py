"""The logging of a child: which records leave it, and what they look like."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import child_logging
from runtime.backends.process.child_logging import LogPlan, encode, install
from tests.unit.runtime.backends.process.logging_here import Records, logging_of_our_own
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = LogPlan(logging.INFO, {}, logging.NOTSET, raise_exceptions=True)
JOB = (7, "resize")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    with logging_of_our_own() as logger:
        yield logger


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    """Install the handler; give the decoded records that were sent."""
    return installed()


def installed() -> list[dict[str, Any]]:
    """Install the handler; called in a test, it takes away the handlers of pytest as well."""
    records: list[dict[str, Any]] = []
    install(PLAN, lambda data: records.append(json.loads(data)), lambda: JOB)
    return records


def record_of(**attributes: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "app", "levelno": logging.INFO, **attributes})


def sent_as(**attributes: object) -> dict[str, Any]:
    fields = json.loads(encode(record_of(**attributes), JOB))
    assert isinstance(fields, dict)
    return fields


def test_a_record_leaves_at_once_with_message_place_and_job(sent: list[dict[str, Any]]) -> None:
    """A child that is killed with the next instruction has lost no record."""
    logging.getLogger("app.images").warning("%d pixels of %s", 12, "a.png")

    (fields,) = sent
    assert fields["name"] == "app.images"
    assert (fields["levelno"], fields["levelname"]) == (logging.WARNING, "WARNING")
    assert fields["msg"] == "12 pixels of a.png"
    assert "args" not in fields
    assert Path(fields["pathname"]).samefile(__file__)
    assert fields["funcName"] == "test_a_record_leaves_at_once_with_message_place_and_job"
    assert fields["threadName"] == threading.current_thread().name
    assert fields["job"] == [7, "resize"]


def test_outside_of_a_job_there_is_no_job() -> None:
    """An initializer logs too."""
    assert json.loads(encode(record_of(), None))["job"] is None


def test_a_traceback_travels_as_text(sent: list[dict[str, Any]]) -> None:
    """Neither the exception nor its frames leave the child."""
    try:
        ["pixel"].remove("no such pixel")
    except ValueError:
        logging.getLogger("app").exception("failed", stack_info=True)

    (fields,) = sent
    assert fields["exc_text"].startswith("Traceback (most recent call last):")
    assert fields["exc_text"].endswith("ValueError: list.remove(x): x not in list")
    assert fields["stack_info"].startswith("Stack (most recent call last):")


def test_a_traceback_that_was_formatted_before_is_not_formatted_again() -> None:
    """So does every formatter of `logging`."""
    assert sent_as(exc_text="as text")["exc_text"] == "as text"


def test_the_name_of_an_asyncio_task_travels() -> None:
    """Python 3.12 and later put it on each record."""
    assert sent_as(taskName="Task-7")["taskName"] == "Task-7"
    assert "taskName" not in sent_as()


def test_levels_are_those_of_the_plan() -> None:
    """Also where a preloaded module has set others."""
    logging.getLogger("preloaded").setLevel(logging.DEBUG)
    messages: list[str] = []
    plan = LogPlan(logging.WARNING, {"app": logging.DEBUG}, logging.NOTSET, raise_exceptions=False)
    install(plan, lambda data: messages.append(json.loads(data)["msg"]), lambda: None)

    for name in ("app", "app.images", "preloaded", "other"):
        logging.getLogger(name).info("%s", name)
        logging.getLogger(name).warning("%s!", name)

    assert messages == ["app", "app!", "app.images", "app.images!", "preloaded!", "other!"]
    assert logging.raiseExceptions is False


def test_what_the_parent_has_disabled_is_disabled(root: logging.Logger) -> None:
    """`logging.disable` holds for the whole program."""
    messages: list[str] = []
    plan = PLAN._replace(disabled_level=logging.WARNING)
    install(plan, lambda data: messages.append(json.loads(data)["msg"]), lambda: None)

    root.warning("quiet")
    root.error("heard")

    assert messages == ["heard"]


def test_handlers_of_preloaded_modules_are_taken_away(root: logging.Logger) -> None:
    """The parent shows the record: it would be seen twice."""
    of_root, of_logger, of_islet = Records(), Records(), Records()
    root.addHandler(of_root)
    logging.getLogger("preloaded").addHandler(of_logger)
    logging.getLogger("islet").addHandler(of_islet)
    logging.getLogger("islet").propagate = False
    logging.getLogger("placeholder.below")
    messages: list[str] = []
    install(PLAN, lambda data: messages.append(json.loads(data)["msg"]), lambda: None)

    for name in ("", "preloaded", "islet", "placeholder.below"):
        logging.getLogger(name).info("from %s", name)

    assert messages == ["from ", "from preloaded", "from islet", "from placeholder.below"]
    assert of_root.seen == of_logger.seen == of_islet.seen == []


def test_a_configuration_of_a_job_adds_nothing_by_basic_config(root: logging.Logger) -> None:
    """A script's functions often begin with it; there is a handler already."""
    sent = installed()

    logging.basicConfig(level=logging.DEBUG)
    root.debug("still below the level")
    root.info("once")

    assert len(root.handlers) == 1
    assert [fields["msg"] for fields in sent] == ["once"]


def test_a_handler_that_a_job_adds_is_served_too(
    sent: list[dict[str, Any]], root: logging.Logger
) -> None:
    """A log file for each worker is a wish like another."""
    own = Records()
    root.addHandler(own)

    root.info("both")

    assert own.messages() == [fields["msg"] for fields in sent] == ["both"]


def test_warnings_go_where_they_go_without_us(sent: list[dict[str, Any]]) -> None:
    """To stderr, unless the child's code captures them itself."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)

    assert len(caught) == 1
    assert sent == []


def test_captured_warnings_are_records(sent: list[dict[str, Any]]) -> None:
    """Those of a job that asked for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        try:
            warnings.warn("old", stacklevel=1)
        finally:
            logging.captureWarnings(capture=False)

    assert [fields["name"] for fields in sent] == ["py.warnings"]


# Some releases of Python 3.13 and 3.14 drop what is logged while the same thread logs, before any
# handler sees it. So these two tests hand the inner record to the handler themselves.


def test_a_record_logged_while_one_is_sent_goes_out_after_it(root: logging.Logger) -> None:
    """A signal handler may log: its frame must not come to lie within another one."""
    events: list[str] = []

    def send(data: bytes) -> None:
        message = json.loads(data)["msg"]
        events.append(f"{message} begins")
        if message == "outer":
            root.handlers[0].handle(record_of(msg="inner"))
        events.append(f"{message} ends")

    install(PLAN, send, lambda: None)
    root.info("outer")

    assert events == ["outer begins", "outer ends", "inner begins", "inner ends"]


def test_a_sender_that_logs_comes_to_an_end(root: logging.Logger) -> None:
    """Otherwise one record would keep the child busy for ever."""
    count = 0

    def send(_data: bytes) -> None:
        nonlocal count
        count += 1
        root.handlers[0].handle(record_of(msg="again"))

    install(PLAN, send, lambda: None)
    root.info("first")

    assert count == child_logging._NESTED
    root.info("second")
    assert count == 2 * child_logging._NESTED


def test_records_of_several_threads_go_out_one_by_one(root: logging.Logger) -> None:
    """Jobs may start threads; all share one channel."""
    inside, most = 0, 0
    got: list[str] = []

    def send(data: bytes) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        got.append(json.loads(data)["msg"])
        inside -= 1

    def work(number: int) -> None:
        for index in range(50):
            root.info("%d %d", number, index)

    install(PLAN, send, lambda: None)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)

    assert most == 1
    assert len(got) == len(set(got)) == 200


@pytest.mark.parametrize("error", [BrokenPipeError("gone"), OSError("bad descriptor")])
def test_a_parent_that_has_gone_is_no_failure_of_the_job(
    error: OSError, root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is left who would read it."""

    def send(_data: bytes) -> None:
        raise error

    install(PLAN, send, lambda: None)
    root.error("into the void")

    assert capsys.readouterr().err == ""


def test_a_message_that_cannot_be_formatted_is_reported_as_by_any_handler(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job goes on; stderr has the place."""
    sent = installed()

    root.info("%d pixels", "twelve")

    assert sent == []
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_stack_that_is_too_deep_to_log_is_the_callers_error(root: logging.Logger) -> None:
    """The handlers of `logging` let this one error pass."""

    class Deep:
        def __str__(self) -> str:
            raise RecursionError

    install(PLAN, lambda _data: None, lambda: None)
    with pytest.raises(RecursionError):
        root.info("%s", Deep())


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of os.fork, 3.12 on
def test_a_process_that_a_job_forks_does_not_write_to_the_channel(
    sent: list[dict[str, Any]], root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its frames would come to lie within those of the child; warnings go to its stderr."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    pid = os.fork()
    if not pid:  # pragma: no cover - in the forked process
        try:
            root.info("nobody hears it")
            root.warning("heard")
            os._exit(0 if not sent and errors.getvalue() == "heard\n" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert sent == []


def test_a_record_of_another_process_is_no_record_of_the_child(
    sent: list[dict[str, Any]], root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, seen from inside."""
    last_resort = Records()
    last_resort.setLevel(logging.WARNING)
    monkeypatch.setattr(logging, "lastResort", last_resort)
    monkeypatch.setattr(os, "getpid", lambda: -1)

    root.info("nobody hears it")
    root.warning("heard")

    assert (sent, last_resort.messages()) == ([], ["heard"])


def test_forked_without_a_last_resort_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have taken it away."""
    monkeypatch.setattr(logging, "lastResort", None)

    child_logging._last_resort(record_of(levelno=logging.ERROR))
