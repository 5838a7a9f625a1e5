"""The names that programs written for the runtime rely on: they import, from where they did."""

from __future__ import annotations

import importlib
import inspect

import pytest

import runtime.async_runtime

NAMES = {
    "runtime.async_runtime": (
        "Executor Future Poll PollState Promise Runtime Task TaskHandle TaskId TaskState Waker "
        "block_on promise_from_callback promise_from_error_callback"
    ),
    "runtime.async_runtime.poll": "Poll PollState",
    "runtime.async_runtime.waker": "Waker",
    "runtime.async_runtime.future": (
        "AllFuture AndFuture CatchFuture ErrorFuture FlatMapFuture Future MapFuture OrFuture "
        "PendingFuture RaceFuture ReadyFuture TimeoutFuture"
    ),
    "runtime.async_runtime.promise": "Promise promise_from_callback promise_from_error_callback",
    "runtime.async_runtime.task": "Task TaskHandle TaskId TaskState",
    "runtime.async_runtime.executor": "Executor",
    "runtime.async_runtime.runtime": "Runtime block_on",
}
PAIRS = [(module, name) for module, names in NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_the_name_imports(module: str, name: str) -> None:
    """Existing programs run unchanged."""
    assert hasattr(importlib.import_module(module), name)


def test_all_is_sorted_and_complete() -> None:
    """What is listed exists, and nothing is listed twice."""
    names = runtime.async_runtime.__all__

    assert list(names) == sorted(set(names))
    assert all(hasattr(runtime.async_runtime, name) for name in names)


@pytest.mark.parametrize("name", runtime.async_runtime.__all__)
def test_what_is_public_is_documented(name: str) -> None:
    """The classes and functions, and what they offer."""
    thing = getattr(runtime.async_runtime, name)
    assert inspect.getdoc(thing)
    for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
        if not attribute.startswith("_") and callable(value):
            assert inspect.getdoc(getattr(thing, attribute)), attribute
