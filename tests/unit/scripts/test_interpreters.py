"""The interpreter list names what is supported and believes only what a program says of itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import interpreters


def test_the_supported_versions_come_from_the_classifiers() -> None:
    """What the package's page promises is what gets tested."""
    names = interpreters.supported()

    assert names[0] == "3.11"
    assert "3.13t" in names
    assert "3.12t" not in names


@pytest.mark.process
def test_an_interpreter_says_who_it_is() -> None:
    """The name of the file proves nothing."""
    found = interpreters.probe(Path(sys.executable))

    assert found is not None
    assert found[0].rstrip("t") == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found[1].startswith(found[0].rstrip("t") + ".")


@pytest.mark.process
@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nexit 127\n", "#!/bin/sh\necho hello\n", "not a program"]
)
def test_what_does_not_start_as_an_interpreter_is_passed_over(tmp_path: Path, text: str) -> None:
    """A shim for a version that is not there is found on many machines."""
    program = tmp_path / "python3.13"
    program.write_text(text)
    program.chmod(0o755)

    assert interpreters.probe(program) is None


def test_the_newest_of_several_patch_releases_comes_first() -> None:
    """3.13.10 is newer than 3.13.9, whatever the alphabet says."""
    folders = [Path(f"/versions/3.13.{micro}/bin") for micro in (9, 10, 0)]

    assert [folder.parent.name for folder in sorted(folders, key=interpreters.newest_first)] == [
        "3.13.10",
        "3.13.9",
        "3.13.0",
    ]
