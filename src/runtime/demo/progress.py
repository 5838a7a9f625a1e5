"""How far it is, while it runs: one line that changes, or on anything but a terminal a few lines.

Threads: for the one that draws; not thread-safe, but for `Progress.note`.
"""

from __future__ import annotations

import math
import shutil
from collections import deque
from typing import TYPE_CHECKING, Final, TextIO, final

if TYPE_CHECKING:
    from runtime.clock import Clock

__all__ = ("Progress",)

_ON_TERMINAL: Final = 0.1  # seconds between two pictures that a person sees move
_IN_LOG: Final = 2.0  # and between two lines that somebody may read later
_BAR: Final = 24  # signs


@final
class Progress:
    """Draws one phase after the other on *stream*.

    Args:
        stream: Where to; whether it is a terminal decides how.
        clock: Times the drawing.
        quiet: Draw nothing.
    """

    def __init__(self, stream: TextIO, clock: Clock, *, quiet: bool = False) -> None:
        self._stream = stream
        self._clock = clock
        self._quiet = quiet
        self._live = stream.isatty()
        self._title = ""
        self._total = self._done = self._size = 0
        self._began = self._drawn_at = 0.0
        self._shown = 0  # how many signs stand in the line
        self._notes: deque[str] = deque()  # filled by any thread

    def begin(self, title: str, total: int) -> None:
        """Start a phase of *total* files."""
        self._title, self._total = title, total
        self._done = self._size = 0
        self._began = self._clock.now()
        self._draw()

    def advance(self, size: int) -> None:
        """Count one more file, of *size* bytes."""
        self._done += 1
        self._size += size
        self.tick()

    def note(self, line: str) -> None:
        """Have *line* written at the next tick, where it does not get into the picture."""
        self._notes.append(line)

    def tick(self) -> None:
        """Draw again where it is time to."""
        if self._notes:
            self._write_notes()
            self._drawn_at = -math.inf if self._live else self._drawn_at
        interval = _ON_TERMINAL if self._live else _IN_LOG
        if self._clock.now() - self._drawn_at >= interval:
            self._draw()

    def end(self) -> None:
        """Leave the line to others. May be called twice."""
        self._write_notes()

    def _write_notes(self) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0
        while self._notes:
            self._write(self._notes.popleft() + "\n")

    def _draw(self) -> None:
        self._drawn_at = now = self._clock.now()
        line = f"{self._title}: {self._done}/{self._total} files, {self._size / 1e6:.1f} MB"
        elapsed = now - self._began
        line += f", {elapsed:.1f} s"
        if not self._live:
            self._write(line + "\n")
            return
        filled = _BAR * self._done // max(self._total, 1)
        line = f"[{'#' * filled}{'-' * (_BAR - filled)}] {line}"
        line = line[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be redrawn
        self._write("\r" + line.ljust(self._shown))
        self._shown = len(line)

    def _write(self, text: str) -> None:
        if not self._quiet:
            self._stream.write(text)
            self._stream.flush()
