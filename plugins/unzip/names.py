"""Which entry names are safe to become files, on every operating system."""

from __future__ import annotations

import re
import unicodedata

_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def problem(name: str) -> str:
    """Return why a path with ``/`` between its parts is refused; empty when it is safe.

    Safe means: below the folder that it is joined to, and the same file on Linux, macOS and
    Windows. One ``/`` at the end, which marks a folder, is no problem.
    """
    if not name.isprintable() and any(map(_is_unprintable, name)):
        return "has a control character in its name"
    if "\\" in name or ":" in name:
        return "has a backslash, a drive letter or another colon in its name"
    if name.startswith("/"):
        return "has an absolute path"
    parts = name.removesuffix("/").split("/")
    return next(filter(None, map(_part_problem, parts)), "")


def key(name: str) -> str:
    """Return what two names have in common where letter case or Unicode form do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _part_problem(part: str) -> str:
    """Return why one part of a path is refused."""
    if part in {"", ".", ".."}:
        return f"has '{part}' as a part of its path"
    if part.endswith((".", " ")):
        return "has a part that ends with a dot or a space, which Windows drops"
    if _DEVICE.fullmatch(part):
        return f"has '{part}', a device of Windows, as a part of its path"
    return ""


def _is_unprintable(letter: str) -> bool:
    """Tell whether a character is a control character or the like; a space is none."""
    return unicodedata.category(letter) in _UNPRINTABLE
