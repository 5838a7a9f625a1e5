"""What a record looks like on its way: plain, bounded, whatever it is made of."""

from __future__ import annotations

import datetime
import json
import logging
from pathlib import PurePosixPath
from typing import Any

import pytest

from runtime.backends.process.child_logging import encode
from runtime.backends.process.relay import _RECORD


class Unprintable:
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no")


def sent_as(**attributes: object) -> dict[str, Any]:
    record = logging.makeLogRecord({"name": "app", "levelno": logging.INFO, **attributes})
    fields = json.loads(encode(record, None))
    assert isinstance(fields, dict)
    return fields


@pytest.mark.parametrize(
    ("value", "travels_as"),
    [
        (None, None),
        (True, True),
        (-(2**63), -(2**63)),
        (1.5, 1.5),
        ("text", "text"),
        ([1, (2, "x")], [1, [2, "x"]]),
        ({"a": {1: None}}, {"a": {"1": None}}),
        (PurePosixPath("/a/b"), "/a/b"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (2**63, str(2**63)),
        pytest.param(10**5000, "<unprintable int>", id="huge"),
        (Unprintable(), "<unprintable Unprintable>"),
        ([[[[["deep"]]]]], [[[["['deep']"]]]]),
    ],
)
def test_what_was_given_as_extra_travels_plain(value: object, travels_as: object) -> None:
    """A format of the parent may name it: it is there, as itself or as its text."""
    assert sent_as(answer=value)["extra"] == {"answer": travels_as}


def test_numbers_that_are_none_travel() -> None:
    """JSON as such has no words for them; that of Python has."""
    assert sent_as(rate=float("inf"))["extra"] == {"rate": float("inf")}


def test_a_record_without_extra_has_none() -> None:
    """The common one stays small."""
    assert "extra" not in sent_as()
    assert len(json.dumps(sent_as(msg="x"))) < 400


def test_extra_has_a_bounded_number_of_values() -> None:
    """A data frame by mistake must not fill the channel."""
    extra = sent_as(rows=list(range(10**6)), more=1)["extra"]

    assert len(extra["rows"]) < 300
    assert "more" not in extra
    assert len(sent_as(table=dict.fromkeys(range(10**4)))["extra"]["table"]) < 300


def test_long_texts_are_cut_and_say_so() -> None:
    """A message of megabytes is a mistake as well."""
    fields = sent_as(msg="x" * 10**6, exc_text="first" + "-" * 10**6 + "last", note="n" * 10**5)

    assert len(fields["msg"]) < 40_000
    assert fields["msg"].endswith("... (967232 characters cut) ...")
    assert fields["exc_text"].startswith("first")
    assert fields["exc_text"].endswith("last")  # the error itself
    assert len(fields["exc_text"]) < 40_000
    assert len(fields["extra"]["note"]) < 2_000


def test_the_size_is_bounded_whatever_is_logged() -> None:
    """The parent's bound for one record lies well above."""
    sign = "\U0001f980"  # twelve bytes of JSON
    record = logging.makeLogRecord(
        {"levelno": logging.INFO, "taskName": sign * 10**4, "threadName": sign * 10**4}
        | dict.fromkeys(
            ("name", "levelname", "msg", "exc_text", "stack_info", "pathname", "funcName"),
            sign * 10**6,
        )
        | {f"{number}" + sign * 10**4: {sign * 10**4: sign * 10**4} for number in range(300)}
    )

    assert len(encode(record, (1, "job"))) < _RECORD


@pytest.mark.parametrize("text", ["\udcff", "\x00", "é", "a\nb"])
def test_any_text_travels(text: str) -> None:
    """File names that are no UTF-8 are such texts."""
    assert sent_as(msg=text)["msg"] == text


def test_odd_attributes_travel_as_their_text() -> None:
    """Whoever makes records by hand may put anything there."""
    fields = sent_as(lineno=Unprintable(), name=12, threadName=None)

    assert fields["lineno"] == "<unprintable Unprintable>"
    assert (fields["name"], fields["threadName"]) == ("12", "None")
