"""The Python blocks in the documents do what the text around them says."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.as_posix(),
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_of_a_document_run(path: Path) -> None:
    """An example that does not work teaches that nothing here does.

    The blocks of one document run one after the other and share their names, as in a session.
    """
    sybil = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(ROOT))

    for example in sybil.parse(path).examples():
        example.evaluate()


def test_the_readme_has_examples_to_run() -> None:
    """A parser that finds nothing would let everything pass."""
    found = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT)).parse(ROOT / "README.md")

    assert list(found.examples())
