"""The document of the state machines says what the tables in the code say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import state_machines

if TYPE_CHECKING:
    from pathlib import Path


def test_the_document_is_what_the_tables_say() -> None:
    """A picture that lags behind the code is worse than none."""
    assert state_machines.DOCUMENT.read_text(encoding="utf-8") == state_machines.render(), (
        "run python3 scripts/state_machines.py"
    )


@pytest.mark.parametrize("machine", state_machines.MACHINES, ids=lambda machine: machine.title)
def test_every_row_of_a_table_is_an_arrow_of_its_diagram(machine: state_machines.Machine) -> None:
    """The diagram is complete: it has as many arrows as the table has rows."""
    rows = state_machines.rows_of(machine)

    lines = state_machines.section(machine).splitlines()

    assert sum("-->" in line and "[*]" not in line for line in lines) == rows > 0


def test_check_notices_a_document_that_lags_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script says which file to write anew, and its exit status says that it must be."""
    monkeypatch.setattr(state_machines, "ROOT", tmp_path)
    monkeypatch.setattr(state_machines, "DOCUMENT", tmp_path / "state-machines.md")

    assert state_machines.main(["--check"]) == 1
    assert state_machines.main([]) == 0
    assert state_machines.main(["--check"]) == 0

    assert "state-machines.md differs" in capsys.readouterr().out
