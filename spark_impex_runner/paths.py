"""Local paths: what is none, and which of them mean the same file or lie in one another."""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A letter alone before the colon is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/|\\)")
_SCHEME = re.compile(
    r"(abfss?|adls?|az|azure|davs?|file|ftps?|gcs|git|gs|hdfs|https?|s3[an]?|scp|sftp|smb|ssh"
    r"|wasbs?|webdavs?):",
    re.IGNORECASE,
)


def url_problem(text: str) -> str:
    """Return why ``text`` is no local path but a URL, empty if it is a local path.

    ``s3:/x`` counts as a URL: that is what ``pathlib`` makes of ``s3://x``.
    """
    stripped = text.strip()
    if not (_URL.match(stripped) or _SCHEME.match(stripped)):
        return ""
    shown = stripped if "@" not in stripped and "?" not in stripped else stripped.split(":")[0]
    return f"'{shown}' is a URL, not a local path"


def folded(name: str) -> str:
    """Return what names have in common that differ by letter case or Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Identities:
    """Tells whether paths mean the same file; the answers about folders are kept."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}
        self._folds: dict[str, bool] = {}

    def of(self, path: str | Path) -> str:
        """Return the same text for two paths that lead to the same place.

        Links are followed, and names are folded where the file system does so.
        """
        parent, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - resolves no links
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        place = os.path.join(self._real[parent], name)  # noqa: PTH118
        real = os.path.realpath(place) if os.path.islink(place) else place  # noqa: PTH114
        return folded(real) if self._ignores_case(os.path.dirname(real)) else real  # noqa: PTH120

    def _ignores_case(self, folder: str) -> bool:
        """Tell whether the file system of ``folder``, or of its nearest parent, ignores case."""
        if folder not in self._folds:
            parent, name = os.path.split(folder)
            other = os.path.join(parent, name.swapcase())  # noqa: PTH118
            if not name:
                answer = False
            elif other != folder and os.path.isdir(folder):  # noqa: PTH112
                answer = os.path.exists(other) and os.path.samefile(folder, other)  # noqa: PTH110, PTH121
            else:
                answer = self._ignores_case(parent)
            self._folds[folder] = answer
        return self._folds[folder]


class Guarded:
    """Paths that a run reads or writes, each with words for what it is; none may be replaced."""

    def __init__(self, paths: Iterable[tuple[Path, str]] = ()) -> None:
        self._identities = Identities()
        self._words = {self._identities.of(path): words for path, words in paths}
        self._sorted = sorted(f"{place}{os.sep}" for place in self._words)

    def conflict(self, path: Path, output: Path) -> str:
        """Return what would be lost if ``path``, below ``output``, were replaced; else nothing.

        What lies above the output, or is the output, does not count.
        """
        place, home = (f"{self._identities.of(each)}{os.sep}" for each in (path, output))
        inside = bisect_left(self._sorted, place)
        if inside < len(self._sorted) and self._sorted[inside].startswith(place):
            return self._words[self._sorted[inside][: -len(os.sep)]]
        above = place.rstrip(os.sep)
        while len(above := os.path.dirname(above)) > len(home) - 1:  # noqa: PTH120
            if above in self._words:
                return self._words[above]
        return ""
