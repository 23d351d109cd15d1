"""Show the line of a problem in a manifest, with a caret below its column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.text import display_width

if TYPE_CHECKING:
    from spark_impex_runner.errors import Problem

_CUT = "..."
_BLUE, _RED, _YELLOW, _PLAIN = "\x1b[1;34m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"


def excerpt(problem: Problem, columns: int, *, colour: bool = False) -> list[str]:
    """Return the numbered source line and the caret's line, at most ``columns`` wide.

    Returns an empty list for a problem without a source.
    """
    source, number = problem.source, str(problem.line)
    if not source:
        return []
    at = min(max(problem.caret, 1), len(source) + 1) - 1
    # Leave a column for a caret behind the end of the line.
    first, last = _fitting(source, at, max(columns - len(f" {number} | ^"), 20))
    before = (_CUT if first else "") + "".join(map(_shown, source[first:at]))
    after = "".join(map(_shown, source[at:last])) + (_CUT if last < len(source) else "")
    gutters, caret = (f" {number} | ", f" {' ' * len(number)} | "), "^"
    if colour:
        gutters = (f"{_BLUE}{gutters[0]}{_PLAIN}", f"{_BLUE}{gutters[1]}{_PLAIN}")
        caret = f"{_YELLOW if problem.severity == 'warning' else _RED}^{_PLAIN}"
    return [gutters[0] + before + after, gutters[1] + " " * display_width(before) + caret]


def _shown(each: str) -> str:
    """Return a character for a terminal, replaced if it could move the cursor."""
    if each == "\t":
        return "    "
    return each if each.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _fitting(source: str, at: int, space: int) -> tuple[int, int]:
    """Return the part of the line around ``at`` that fits, with room for ``...`` at both ends."""
    first, last = _around(source, at, space)
    if first == 0 and last == len(source):
        return first, last
    return _around(source, at, space - 2 * len(_CUT))


def _around(source: str, at: int, space: int) -> tuple[int, int]:
    """Return a part around ``at`` that grows on both sides in turn while it fits."""
    first = last = at
    grown = True
    while grown:
        grown = False
        for side in (last, first - 1):
            needed = display_width(_shown(source[side])) if 0 <= side < len(source) else space + 1
            if needed <= space:
                space, grown = space - needed, True
                first, last = min(first, side), max(last, side + 1)
    return first, last
