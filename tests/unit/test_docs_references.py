"""What documents and docstrings point to exists: sections, records, tests, files."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")],
    key=lambda path: path.as_posix(),
)
SOURCES = sorted(
    path for folder in ("src", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
PUBLIC = (
    "runtime",
    "runtime.async_runtime",
    "runtime.backends",
    "runtime.clock",
    "runtime.errors",
    "runtime.interop.concurrent",
    "runtime.testing",
    "runtime.workers",
)

# "async-runtime-spec.md, sections 1 and 5", "worker-api-spec.md, sections 4 to 7",
# 'state-machines.md, section "Task"'; a line may break between any two words.
CITATION = re.compile(
    r"([a-z-]+\.md),\s+sections?\s+"
    r'("[^"]+"|\d+(?:\.\d+)?(?:(?:,\s+|\s+and\s+|\s+to\s+)\d+(?:\.\d+)?)*)'
)
HEADING = re.compile(r"^#+ (?:(\d+(?:\.\d+)*)\.? )?(.+)$", re.MULTILINE)
RECORD = re.compile(r"ADR-\d{3}")
TEST = re.compile(r"(test_\w+\.py)::(test_\w+)")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def citations(text: str) -> Iterator[tuple[str, str]]:
    """Give each document and section that *text* cites; a range gives both of its ends."""
    for document, sections in CITATION.findall(text):
        if sections.startswith('"'):
            yield document, sections.strip('"')
        else:
            for number in re.findall(r"\d+(?:\.\d+)?", sections):
                yield document, number


@cache
def sections_of(document: str) -> frozenset[str]:
    """Return the numbers and the titles of a specification's sections."""
    text = (DOCS / "specifications" / document).read_text(encoding="utf-8")
    return frozenset(part for heading in HEADING.findall(text) for part in heading if part)


@cache
def records() -> frozenset[str]:
    return frozenset(path.name[:7] for path in (DOCS / "architecture").glob("ADR-*.md"))


@cache
def known_tests(file: str) -> frozenset[str]:
    """Return the names of the test functions in the files of this name, whatever folder."""
    return frozenset(
        node.name
        for path in (ROOT / "tests").rglob(file)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


@pytest.mark.parametrize("path", [*SOURCES, *DOCUMENTS], ids=name_of)
def test_every_section_and_record_that_is_cited_exists(path: Path) -> None:
    """A reader who follows a reference finds what it promises."""
    text = re.sub(r"\n\s*(?:#\s*)?", " ", path.read_text(encoding="utf-8"))

    missing = [
        f"{document}, section {section}"
        for document, section in citations(text)
        if section not in sections_of(document)
    ]
    missing += sorted(set(RECORD.findall(text)) - records())

    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_test_that_a_document_names_exists(path: Path) -> None:
    """What must hold is checked by a test, and that test is there."""
    named = TEST.findall(path.read_text(encoding="utf-8"))

    assert [f"{file}::{test}" for file, test in named if test not in known_tests(file)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    """Links inside of the repository do not rot."""
    links = LINK.findall(path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", sorted((DOCS / "architecture").glob("ADR-*.md")), ids=name_of)
def test_a_record_has_every_part(path: Path) -> None:
    """A decision without its reasons, its price or its test is an opinion."""
    text = path.read_text(encoding="utf-8")

    assert re.match(rf"# {path.name[:7]}: \S.*\nStatus: \w+, \d{{4}}-\d\d-\d\d\. ", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Options",
        "Consequences",
        "Checked by",
    ]
    assert TEST.search(text.partition("## Checked by")[2])


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_specified(module: str) -> None:
    """What users may rely on is written down."""
    folder = DOCS / "specifications"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*-spec.md")))
    words = set(re.findall(r"\w+", text))

    names: tuple[str, ...] = importlib.import_module(module).__all__

    assert [name for name in names if name not in words] == []


def test_citations_are_found_in_all_their_forms() -> None:
    """A pattern that finds nothing would let everything pass."""
    text = (
        "Source: a-spec.md, sections 1, 2.3 and 5; b.md, section 4.1. "
        'And c.md, section "Task"; d.md, sections 4 to 7.'
    )

    assert list(citations(text)) == [
        ("a-spec.md", "1"),
        ("a-spec.md", "2.3"),
        ("a-spec.md", "5"),
        ("b.md", "4.1"),
        ("c.md", "Task"),
        ("d.md", "4"),
        ("d.md", "7"),
    ]
