"""Text on one line, fit for a terminal, a log and a message."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNUSUAL = re.compile(r"[^\n\t -~]+")


def one_line(text: str, *, limit: int = 500, replacement: str = " ") -> str:
    """Return ``text`` on one line of at most ``limit`` characters, all of them printable.

    Each other character becomes ``replacement``; blanks and line breaks become single blanks.
    """
    plain = text[: 4 * limit]
    if not plain.isprintable():  # one call for nearly every text, instead of one for each character
        plain = "".join(
            letter if letter.isprintable() or letter.isspace() else replacement for letter in plain
        )
    line = " ".join(plain.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def plain(text: str) -> str:
    """Return the whole text on one line, with U+FFFD for each character that is not printable.

    So foreign text can neither move a terminal's cursor nor break an XML document.
    """
    return one_line(text, limit=len(text), replacement="\N{REPLACEMENT CHARACTER}")


def escaped(text: str) -> str:
    """Return text of several lines with an escape sequence for each character that is invisible.

    Control characters move a terminal's cursor; format characters reverse a text.
    """
    return _UNUSUAL.sub(lambda found: "".join(map(_escape, found[0])), text)


def escaped_line(text: str) -> str:
    """Return what ``escaped`` does, with a blank for each line break."""
    return " ".join(escaped(text).splitlines())


def _escape(letter: str) -> str:
    # Unusual blanks, such as U+00A0, are no printable characters to Python, but harmless.
    visible = letter.isprintable() or unicodedata.category(letter) == "Zs"
    return letter if visible else repr(letter)[1:-1]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not 1: ``2 files``."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun}"


def wrapped(text: str, width: int = 80) -> str:
    """Return a line as several that fit into a width, where its words do; those are never cut."""
    return "\n".join(
        textwrap.wrap(
            text,
            width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def first_of(items: Sequence[str], limit: int, separator: str = ", ") -> str:
    """Return the first ``limit`` items on one line, and how many there are besides."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as aligned columns below their names."""
    cells = [
        [name.upper() for name in rows[0]],
        *([plain(each) for each in row.values()] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def shortened(text: str, width: int, ellipsis: str = "…") -> str:
    """Return a text that takes at most ``width`` columns; an ellipsis ends one that was cut."""
    if display_width(text) <= width:
        return text
    kept, left = [], width - display_width(ellipsis)
    for letter in text:
        left -= _columns(letter)
        if left < 0:
            break
        kept.append(letter)
    return ("".join(kept) + ellipsis)[:width] if width > 0 else ""


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in {"Me", "Mn", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
