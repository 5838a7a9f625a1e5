"""`WorkerPool`: arguments that make no sense are refused where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.workers import WorkerPool
from tests.unit.runtime.gates import nothing


@pytest.mark.parametrize(
    "options",
    [
        {"max_workers": "two"},
        {"max_lent": "x"},
        {"max_lent": True},
        {"max_abandoned": None},
        {"name": 5},
        {"name": None},
        {"clock": 5},
        {"on_unhandled": 5},
        {"initializer": 5},
        {"initializer": print, "initargs": 5},
        {"exit_timeout": "x"},
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_by_its_name(options: dict[str, Any]) -> None:
    """Otherwise it would come out of a worker's thread, much later, or never."""
    with pytest.raises(TypeError) as caught:
        WorkerPool(**options)

    named = next(reversed(options)).removeprefix("init")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"max_workers": 0}, {"max_lent": -1}, {"max_abandoned": -5}, {"exit_timeout": -1.0}],
)
def test_a_number_out_of_range_is_refused(options: dict[str, Any]) -> None:
    """A limit below zero would mean a pool that cannot do what it should."""
    with pytest.raises(ValueError, match=next(iter(options))):
        WorkerPool(**options)


@pytest.mark.parametrize(
    "options", [{"args": None}, {"args": 0}, {"args": ""}, {"kwargs": 0}, {"kwargs": ()}]
)
def test_arguments_that_are_none_are_refused_also_where_they_are_empty(
    scripted: WorkerPool, options: dict[str, Any]
) -> None:
    """Taken for "no arguments" they would hide a mistake until they are not empty."""
    with pytest.raises(TypeError, match=next(iter(options))):
        _ = scripted.spawn(nothing, **options)


def test_empty_arguments_of_any_kind_are_none(scripted: WorkerPool) -> None:
    """A list or a mapping that happens to be empty is fine."""
    job = scripted.spawn(nothing, args=[], kwargs={})

    assert job._func is nothing
