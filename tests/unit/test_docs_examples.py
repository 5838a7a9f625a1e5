"""The Python blocks in the documents do what the text around them says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import SkipTest

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from sybil import Example
    from sybil.typing import Parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.as_posix(),
)


def missing(*names: str) -> bool:
    """Tell, in a document's ``skip`` comment, whether one of these packages is not there."""
    return any(importlib.util.find_spec(name) is None for name in names)


@cache
def no_display() -> bool:
    """Tell, in the same place, whether no window can be opened.

    Called once before the tests: Tk keeps its connection for the process.
    """
    if missing("tkinter"):
        return True
    import tkinter  # noqa: PLC0415 - not every interpreter has it

    try:
        tkinter.Tk().destroy()
    except tkinter.TclError:
        return True
    return False


def run_cell(example: Example) -> None:
    """Run a block as a notebook does: it may await at its top."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    awaited = eval(code, example.namespace)  # the documents are our own
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(awaited)


no_display()
importlib.import_module("tests.unit.runtime.interop.host_loops")  # others keep something, too
with contextlib.suppress(ImportError):
    bar = importlib.import_module("tqdm").tqdm
    bar.monitor_interval = 0  # no thread that it keeps
    bar.set_lock(threading.RLock())  # multiprocessing's would come with a process that stays


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_of_a_document_run(path: Path, subtests: pytest.Subtests) -> None:
    """An example that does not work teaches that nothing here does.

    The blocks of one document run one after the other and share their names, as in a session.
    """
    parsers: list[Parser] = [
        PythonCodeBlockParser(),
        CodeBlockParser("ipython", run_cell),
        SkipParser(),
    ]
    document = Sybil(parsers=parsers, path=str(ROOT)).parse(path)
    document.namespace.update(missing=missing, no_display=no_display)

    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest as why:
            with subtests.test():
                pytest.skip(f"line {example.line}: {why}")


def test_the_readme_has_examples_to_run() -> None:
    """A parser that finds nothing would let everything pass."""
    found = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT)).parse(ROOT / "README.md")

    assert list(found.examples())
