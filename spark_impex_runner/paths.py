"""Local paths: recognize URLs, compare paths by file identity, protect files of a run."""

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
    """Return an error message if ``text`` is a URL, empty if it is a local path.

    ``s3:/x`` counts as a URL: ``pathlib`` turns ``s3://x`` into it.
    """
    stripped = text.strip()
    if not (_URL.match(stripped) or _SCHEME.match(stripped)):
        return ""
    # Userinfo and query of a URL may be secrets.
    shown = stripped if "@" not in stripped and "?" not in stripped else stripped.split(":")[0]
    return f"'{shown}' is a URL, not a local path"


def folded(name: str) -> str:
    """Return the form that names share if they differ only in case or Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Identities:
    """The identities of files, to compare paths by; answers about folders are cached."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}
        self._folds: dict[str, bool] = {}

    def of(self, path: str | Path) -> str:
        """Return the same text for all paths that lead to the same file.

        Links are followed, and names are folded if the file system ignores case.
        """
        parent, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - resolves no links
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        key = os.path.join(self._real[parent], name)  # noqa: PTH118
        real = os.path.realpath(key) if os.path.islink(key) else key  # noqa: PTH114
        return folded(real) if self._ignores_case(os.path.dirname(real)) else real  # noqa: PTH120

    def _ignores_case(self, folder: str) -> bool:
        """Return True if the file system of ``folder``, or of its nearest parent, ignores case."""
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


class ProtectedPaths:
    """Paths that a run reads or writes, each with its purpose; no step may replace them."""

    def __init__(self, paths: Iterable[tuple[Path, str]] = ()) -> None:
        self._identities = Identities()
        self._purposes = {self._identities.of(path): purpose for path, purpose in paths}
        self._sorted = sorted(f"{key}{os.sep}" for key in self._purposes)

    def conflict(self, path: Path, output: Path) -> str:
        """Return the purpose of what would be replaced with ``path``, empty if nothing would be.

        ``path`` is below ``output``; folders that contain the output do not count.
        """
        key, base = (f"{self._identities.of(each)}{os.sep}" for each in (path, output))
        inside = bisect_left(self._sorted, key)
        if inside < len(self._sorted) and self._sorted[inside].startswith(key):
            return self._purposes[self._sorted[inside][: -len(os.sep)]]
        above = key.rstrip(os.sep)
        while len(above := os.path.dirname(above)) > len(base) - 1:  # noqa: PTH120
            if above in self._purposes:
                return self._purposes[above]
        return ""
