"""Text on one line, fit for a terminal, a log and a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def one_line(text: str, *, limit: int = 500, replacement: str = " ") -> str:
    """Return ``text`` on one line of at most ``limit`` characters, all of them printable.

    Each other character becomes ``replacement``; blanks and line breaks become single blanks.
    """
    plain = "".join(
        letter if letter.isprintable() or letter.isspace() else replacement
        for letter in text[: 4 * limit]
    )
    line = " ".join(plain.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not 1: ``2 files``."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun}"


def first_of(items: Sequence[str], limit: int, separator: str = ", ") -> str:
    """Return the first ``limit`` items on one line, and how many there are besides."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more
