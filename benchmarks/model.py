"""What a benchmark is: one subject, its peers, and what is wanted of the subject.

A measure is a function that takes a size, does the work, and returns what it cost: seconds,
bytes or a count, always *per operation* and always "less is better".
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "OURS",
    "Benchmark",
    "Measure",
    "Side",
    "Target",
    "Unit",
    "adds",
    "faster",
    "share",
    "within",
)

Measure: TypeAlias = "Callable[[int], float]"

OURS = "ours"  # the name of every subject


@dataclass(frozen=True, slots=True)
class Unit:
    """How a figure is shown: divided by *scale*, with *name* behind it."""

    name: str
    scale: float = 1.0

    def show(self, value: float) -> str:
        """Return *value* with three digits that count."""
        shown = value / self.scale
        digits = 0 if abs(shown) >= 100 else 1 if abs(shown) >= 10 else 2
        return f"{shown:,.{digits}f}".replace(",", " ")


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that are compared.

    Args:
        name: Shown in the tables; unique in its benchmark.
        measure: What does the work.
        needs: A module that must be installed for it.
        since: The first Python that has what it uses.
    """

    name: str
    measure: Measure
    needs: str | None = None
    since: tuple[int, int] = (3, 11)

    def is_available(self) -> bool:
        """Tell whether it can run here."""
        if sys.version_info < self.since:
            return False
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of the subject; made by `faster`, `share`, `within` and `adds`.

    Args:
        kind: ``faster``: at least *limit* times faster than the other side. ``share``: at most
            *limit* times its cost. ``within``: at most *limit*, whatever others do.
            ``adds``: at most *limit* more than the other side.
        limit: A factor, or a cost in seconds, bytes or pieces.
        against: The name of the other side; empty for ``within``.
    """

    kind: Literal["faster", "share", "within", "adds"]
    limit: float
    against: str = ""

    def score(self, ours: float, theirs: float) -> float:
        """Return the figure that is compared with the limit, for one pair of costs."""
        if self.kind == "within":
            return ours
        if self.kind == "adds":
            return ours - theirs
        if self.kind == "faster":
            return theirs / ours if ours else float("inf")
        return ours / theirs if theirs else float("inf")

    def is_met(self, score: float) -> bool:
        """Tell whether *score* is good enough."""
        return score >= self.limit if self.kind == "faster" else score <= self.limit


def faster(factor: float, than: str) -> Target:
    """Want the subject to be *factor* times faster than another side."""
    return Target("faster", factor, than)


def share(factor: float, of: str) -> Target:
    """Want the subject to cost at most *factor* times what another side costs."""
    return Target("share", factor, of)


def within(limit: float) -> Target:
    """Want the subject to cost at most *limit*, in seconds, bytes or pieces."""
    return Target("within", limit)


def adds(limit: float, to: str) -> Target:
    """Want the subject to cost at most *limit* more than another side."""
    return Target("adds", limit, to)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One row of the table.

    Args:
        key: The number of the benchmark, such as ``A1``; several rows may share it.
        title: What is done, in a few words; with the key it names the row.
        unit: What a figure is.
        size: How much work one measure does.
        small: The same for a quick look.
        subject: Ours.
        others: The bare limit (``floor``), then the peers.
        targets: What is wanted.
        child: Whether each measure gets a process of its own.
        pinned: Whether that process is held on one processor.
        rounds: At most so many, and no warm-up: for what takes long and hardly varies.
        absent: Why it cannot run here; None where it can.
    """

    key: str
    title: str
    unit: Unit
    size: int
    small: int
    subject: Measure
    others: tuple[Side, ...] = ()
    targets: tuple[Target, ...] = ()
    child: bool = False
    pinned: bool = False
    rounds: int | None = None
    absent: Callable[[], str | None] = field(default=lambda: None)

    @property
    def name(self) -> str:
        """The row's unique name."""
        return f"{self.key} {self.title}"

    def sides(self) -> tuple[Side, ...]:
        """Return the subject and those of the others that can run here."""
        return (Side(OURS, self.subject), *(side for side in self.others if side.is_available()))
