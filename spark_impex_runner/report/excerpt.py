"""The line of a manifest that a problem stands in, with a caret below the place."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.errors import Problem

_CUT = "..."
_BLUE, _RED, _YELLOW, _PLAIN = "\x1b[1;34m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"


def excerpt(problem: Problem, columns: int, *, colour: bool = False) -> list[str]:
    """Return the source line behind its number and the caret's line, ``columns`` wide at most.

    There are none for a problem without a source.
    """
    source, number = problem.source, str(problem.line)
    if not source:
        return []
    at = min(max(problem.caret, 1), len(source) + 1) - 1
    # The caret may stand behind the end of a line that fills the room.
    first, last = _fitting(source, at, max(columns - len(f" {number} | ^"), 20))
    before = (_CUT if first else "") + "".join(map(_shown, source[first:at]))
    after = "".join(map(_shown, source[at:last])) + (_CUT if last < len(source) else "")
    gutters, caret = (f" {number} | ", f" {' ' * len(number)} | "), "^"
    if colour:
        gutters = (f"{_BLUE}{gutters[0]}{_PLAIN}", f"{_BLUE}{gutters[1]}{_PLAIN}")
        caret = f"{_YELLOW if problem.severity == 'warning' else _RED}^{_PLAIN}"
    return [gutters[0] + before + after, gutters[1] + " " * width(before) + caret]


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_columns, text))


def _columns(each: str) -> int:
    # A combining mark is drawn over the character before it.
    if unicodedata.category(each) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(each) in {"W", "F"} else 1


def _shown(each: str) -> str:
    """Return a character as it is shown; none that moves the cursor or turns text round is."""
    if each == "\t":
        return "    "
    return each if each.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _fitting(source: str, at: int, room: int) -> tuple[int, int]:
    """Return which part of the line around ``at`` fits, with room for the marks of a cut."""
    first, last = _around(source, at, room)
    if first == 0 and last == len(source):
        return first, last
    return _around(source, at, room - 2 * len(_CUT))


def _around(source: str, at: int, room: int) -> tuple[int, int]:
    """Take in what stands on both sides of ``at``, in turn, while there is room."""
    first = last = at
    grown = True
    while grown:
        grown = False
        for side in (last, first - 1):
            taken = width(_shown(source[side])) if 0 <= side < len(source) else room + 1
            if taken <= room:
                room, grown = room - taken, True
                first, last = min(first, side), max(last, side + 1)
    return first, last
