"""Lines at the bottom of a terminal that are replaced in place, below whole lines of the log.

The cursor rests at the beginning of the line below the block. It is never hidden and no mode of the
terminal is ever changed, so that a process that is killed leaves nothing to restore.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spark_impex_runner.text import display_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERASE_REST = "\x1b[K"  # of the line, behind the cursor


class LiveBlock:
    """The escape sequences that draw and erase the block; a stream writes them.

    ``columns`` returns the width of the terminal now. ``reflows``: when the terminal becomes
    narrower, it wraps the lines again, so that the block takes more rows than it has lines.
    """

    def __init__(self, columns: Callable[[], int], *, reflows: bool) -> None:
        self._columns = columns
        self._reflows = reflows
        self._lines: Sequence[str] = ()
        self._widths: list[int] = []  # of the lines that are drawn
        self._drawn_at = 0  # the width of the terminal then

    def erased(self) -> str:
        """Return what removes the block; what is written next takes its place."""
        rows, self._widths = self._rows(), []
        return f"{_up(rows)}{_deleted(rows)}"

    def drawn(self) -> str:
        """Return what draws the lines in place of those that are drawn."""
        columns = self._columns()
        # After a new width, lines that the terminal has wrapped must lose the mark of that.
        begin = "" if columns == self._drawn_at else self.erased()
        rows = self._rows()
        self._drawn_at = columns
        self._widths = [display_width(without_colours(line)) for line in self._lines]
        # Each line is erased behind its text: erasing all of them first would flicker.
        text = "".join(f"{line}{_ERASE_REST}\n" for line in self._lines)
        return f"{begin}{_up(rows)}{text}{_deleted(rows - len(self._lines))}"

    def replaced(self, lines: Sequence[str]) -> str:
        """Return what draws other lines; empty if these are drawn already."""
        same = lines == self._lines and len(lines) == len(self._widths)
        self._lines = lines
        return "" if same and self._drawn_at == self._columns() else self.drawn()

    def _rows(self) -> int:
        """Return how many rows of the terminal the drawn lines take now."""
        columns = max(self._columns(), 1)
        wrapped = (max(-(-width // columns), 1) for width in self._widths)
        return sum(wrapped) if self._reflows else len(self._widths)


def _up(rows: int) -> str:
    """Return what moves the cursor up to the first column, from a line without what was typed."""
    return f"\r{_ERASE_REST}\x1b[{rows}A" if rows else ""


def _deleted(rows: int) -> str:
    """Return what deletes the rows below the cursor.

    To erase the screen from there would, in its first row, move all of it into the scroll-back.
    """
    return f"\x1b[{rows}M" if rows > 0 else ""


def without_colours(line: str) -> str:
    """Return a line without our colours."""
    return _COLOUR.sub("", line)
