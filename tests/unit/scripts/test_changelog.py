"""The changelog's fragments: which names are accepted, and what a release makes of them."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from scripts import changelog

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime.date(2026, 1, 20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / changelog.FRAGMENTS
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("the rule\n")
    (tmp_path / changelog.CHANGELOG).write_text(f"# Changes\n\n{changelog.MARK}\n## 0.1.0\n")
    return tmp_path


def add(root: Path, name: str, text: str = "Something is new.\n") -> None:
    (root / changelog.FRAGMENTS / name).write_text(text)


@pytest.mark.parametrize("kind", changelog.KINDS)
def test_every_kind_of_fragment_is_accepted(root: Path, kind: str) -> None:
    """The kinds are those that the release prints."""
    add(root, f"TASK-7.{kind}.md")

    assert changelog.faults(root) == []


@pytest.mark.parametrize("name", ["7.new.md", "added.md", "7.added.txt", "7.added.md~"])
def test_another_name_is_refused(root: Path, name: str) -> None:
    """A fragment with a wrong name would be lost at the release."""
    add(root, name)

    assert [fault.split()[0] for fault in changelog.faults(root)] == [
        f"{changelog.FRAGMENTS}/{name}"
    ]


def test_an_empty_fragment_is_refused(root: Path) -> None:
    """It would satisfy the check and tell users nothing."""
    add(root, "7.fixed.md", "\n")

    assert changelog.faults(root) == [
        "docs/changelog.d/7.fixed.md is empty: say what users will notice"
    ]


def test_a_release_gathers_the_fragments_by_kind_above_the_older_ones(root: Path) -> None:
    """Readers look for the newest first, and for what was added before what was fixed."""
    add(root, "1.fixed.md", "No more hang\nat exit.\n")
    add(root, "2.added.md", "`spawn()` is here.\n")

    changelog.release(root, "0.2.0", DAY)

    assert (root / changelog.CHANGELOG).read_text() == (
        "# Changes\n\n<!-- releases -->\n\n"
        "## 0.2.0 (2026-01-20)\n\n"
        "### Added\n\n- `spawn()` is here.\n\n"
        "### Fixed\n\n- No more hang\n  at exit.\n\n"
        "## 0.1.0\n"
    )
    assert changelog.fragments(root) == []


def test_a_changelog_without_its_mark_is_left_alone(root: Path) -> None:
    """Nothing may be lost because somebody tidied up."""
    add(root, "1.fixed.md")
    (root / changelog.CHANGELOG).write_text("# Changes\n")

    with pytest.raises(ValueError, match="has no line '<!-- releases -->'"):
        changelog.release(root, "0.2.0", DAY)

    assert len(changelog.fragments(root)) == 1
