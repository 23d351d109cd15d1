"""Check whether the names of entries are safe as file names on every operating system."""

from __future__ import annotations

import re
import unicodedata

_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def problem(name: str) -> str:
    """Return why a path with ``/`` between its parts is unsafe, empty if it is safe.

    Safe means inside the folder that it is joined to, and the same file on Linux, macOS and
    Windows. A trailing ``/``, which marks a folder, is allowed.
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
    """Return a name's form on file systems that ignore letter case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _part_problem(part: str) -> str:
    if part in {"", ".", ".."}:
        return f"has '{part}' as a part of its path"
    if part.endswith((".", " ")):
        return "has a part that ends with a dot or a space, which Windows drops"
    if _DEVICE.fullmatch(part):
        return f"has '{part}', a device of Windows, as a part of its path"
    return ""


def _is_unprintable(letter: str) -> bool:
    return unicodedata.category(letter) in _UNPRINTABLE
