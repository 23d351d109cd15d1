"""Figures and foreign text as a person reads them."""

from __future__ import annotations

import re
import unicodedata

from spark_impex_runner.text import one_line as text_on_one_line

_UNUSUAL = re.compile(r"[^\n\t -~]+")


def size(count: int) -> str:
    """Return a number of bytes: ``506.7 kB``."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter(("kB", "MB", "GB"))
    for unit in units:
        if value < 999.95:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(length: float) -> str:
    """Return seconds: ``9.5 s``, ``2m 05s``, ``1h 02m``."""
    if length < 59.95:
        return f"{length:.1f} s"
    minutes, rest = divmod(round(length), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def plain(text: str) -> str:
    """Return text on one line, with nothing in it that is not printable.

    So a tenant's words can neither move a terminal's cursor nor break an XML document.
    """
    return text_on_one_line(text, limit=len(text), replacement="\N{REPLACEMENT CHARACTER}")


def visible(text: str) -> str:
    """Return text of several lines with every character written out that a person would not see.

    These are the control characters, which move a terminal's cursor, and the invisible ones, which
    reverse a text or break its lines.
    """
    return _UNUSUAL.sub(lambda found: "".join(map(_written_out, found[0])), text)


def _written_out(each: str) -> str:
    shown = each.isprintable() or unicodedata.category(each) == "Zs"
    return each if shown else repr(each)[1:-1]


def one_line(text: str) -> str:
    """Return what ``visible`` does on one line."""
    return " ".join(visible(text).splitlines())
