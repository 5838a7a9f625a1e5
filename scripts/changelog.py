"""Check the changelog's fragments, or turn them into the section of a release.

    python3 scripts/changelog.py check [--since REF]
    python3 scripts/changelog.py release VERSION

A fragment is a file ``docs/changelog.d/<task>.<kind>.md``: one change, told to users.
``check`` refuses a name or a content that is not so, and a change in ``src/`` that comes
without a fragment: since the last tag, or, with ``--since``, between REF and the work tree.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("faults", "main", "release", "section")

ROOT: Final = Path(__file__).resolve().parent.parent
FRAGMENTS: Final = "docs/changelog.d"
CHANGELOG: Final = "docs/CHANGELOG.md"
MARK: Final = "<!-- releases -->\n"  # the line under which the newest release is put
NAME: Final = re.compile(r"[A-Za-z0-9-]+\.(?P<kind>[a-z]+)\.md")
KINDS: Final = {
    "added": "Added",
    "changed": "Changed",
    "deprecated": "Deprecated",
    "removed": "Removed",
    "fixed": "Fixed",
    "faster": "Faster",
}


def fragments(root: Path) -> list[Path]:
    """Return the files of the folder that should be fragments, sorted by name."""
    return [path for path in sorted((root / FRAGMENTS).iterdir()) if path.name != "README.md"]


def faults(root: Path) -> list[str]:
    """Return what is wrong with the fragments, a line each."""
    found: list[str] = []
    for path in fragments(root):
        name = NAME.fullmatch(path.name)
        if name is None or name["kind"] not in KINDS:
            found.append(
                f"{FRAGMENTS}/{path.name} is not named <task>.<kind>.md: "
                f"the kind is one of {', '.join(KINDS)}"
            )
        elif not path.read_text(encoding="utf-8").strip():
            found.append(f"{FRAGMENTS}/{path.name} is empty: say what users will notice")
    return found


def section(root: Path, version: str, day: datetime.date) -> str:
    """Return the text of a release that has all fragments."""
    lines = [f"## {version} ({day.isoformat()})", ""]
    for kind, title in KINDS.items():
        texts = [
            path.read_text(encoding="utf-8").strip()
            for path in fragments(root)
            if path.name.endswith(f".{kind}.md")
        ]
        if texts:
            items = ["- " + text.replace("\n", "\n  ") for text in texts]
            lines += [f"### {title}", "", *items, ""]
    return "\n".join(lines)


def release(root: Path, version: str, day: datetime.date) -> None:
    """Move all fragments into a new section at the top of the changelog."""
    path = root / CHANGELOG
    before, mark, after = path.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{CHANGELOG} has no line {MARK.strip()!r}: releases go under it")
    text = before + mark + "\n" + section(root, version, day) + after
    path.write_text(text, encoding="utf-8")
    for fragment in fragments(root):
        fragment.unlink()


def is_missing(root: Path, since: str | None) -> bool:
    """Tell whether ``src/`` has changed since *since* (or the last tag) with no fragment for it."""
    if since is None:
        since = git(root, "describe", "--tags", "--abbrev=0").strip()
        if not since:  # no release yet: everything is new
            return not fragments(root)
        return bool(git(root, "diff", "--name-only", since, "--", "src")) and not fragments(root)
    changed = git(root, "diff", "--name-only", since, "--", "src")
    added = git(root, "diff", "--name-only", "--diff-filter=d", since, "--", FRAGMENTS)
    return bool(changed) and not added


def git(root: Path, *arguments: str) -> str:
    """Return what git prints; nothing where it fails, as outside a repository."""
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, check=False, text=True
    )
    return answer.stdout if answer.returncode == 0 else ""


def check(root: Path, since: str | None) -> int:
    """Print what is wrong; return the exit status."""
    found = faults(root)
    if is_missing(root, since):
        found.append(f"src/ has changed and {FRAGMENTS} tells nothing: add <task>.<kind>.md")
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"changelog: all fragments are well-formed ({len(fragments(root))})")
    return 1 if found else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Check or release the changelog's fragments.")
    commands = parser.add_subparsers(dest="command", required=True)
    checker = commands.add_parser("check", help="are the fragments well-formed, and is one there?")
    checker.add_argument("--since", metavar="REF", help="compare with this commit")
    releaser = commands.add_parser("release", help="turn the fragments into a release's section")
    releaser.add_argument("version")
    chosen = parser.parse_args(arguments)
    if chosen.command == "check":
        return check(ROOT, chosen.since)
    release(ROOT, chosen.version, datetime.datetime.now(tz=datetime.UTC).date())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
