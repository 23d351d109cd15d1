"""Local paths: refuse URLs, compare paths by file identity, protect files of a run."""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A letter alone before the colon is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/|\\)")
_SCHEME = re.compile(
    r"(abfss?|adls?|az|azure|davs?|file|ftps?|gcs|git|gs|hdfs|https?|s3[an]?|scp|sftp|smb|ssh"
    r"|wasbs?|webdavs?):",
    # ASCII: without it the long s is a letter of `s3`.
    re.IGNORECASE | re.ASCII,
)
# What to do instead of giving a URL, by the purpose of a path: the values of `x-path`.
_INSTEAD = {
    "output": "; give a local folder, and send its files on with the step 'upload'",
    "write": "; give a local file, and send it on afterwards",
    "read": "; download it first, and give its local path",
    "either": "; write :// after its scheme, or give a local path",
    "state": "; give a local folder, or s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX",
}


def url_problem(text: str, purpose: str = "read") -> str:
    """Return an error message if ``text`` is a URL, empty if it is a local path.

    The message says what to do instead, by the ``purpose`` of the path: ``read``, ``write``,
    ``output``, ``state``, or ``either`` where URLs are accepted, too. ``s3:/x`` counts as a URL:
    ``pathlib`` turns ``s3://x`` into it. ``./s3:/x`` is a local path.
    """
    stripped = text.strip()
    if not (_URL.match(stripped) or _SCHEME.match(stripped)):
        return ""
    if purpose == "either" and "://" in stripped:
        return ""
    # Userinfo, query and fragment of a URL may be secrets.
    shown = stripped.split(":")[0] if set("@?#") & set(stripped) else stripped
    return f"'{shown}' is a URL, not a local path{_INSTEAD.get(purpose, _INSTEAD['read'])}"


def local_path(text: str | os.PathLike[str], purpose: str, name: str = "") -> Path:
    """Return the path that the argument ``name`` is; raise ``UsageError`` if it is a URL."""
    if problem := url_problem(os.fspath(text), purpose):
        raise UsageError(f"{name}: {problem}" if name else problem)
    path = Path(text)
    # Of ./s3:x pathlib keeps s3:x, which would be refused where the path is checked again.
    return path.absolute() if url_problem(str(path)) else path


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
            # What is in it tells: another file system than its parent's may be mounted there.
            if entry := _cased_entry(folder):
                answer = _is_same_in_other_case(folder, entry)
            elif name.swapcase() != name and os.path.isdir(folder):  # noqa: PTH112
                answer = _is_same_in_other_case(parent, name)
            else:
                answer = bool(name) and self._ignores_case(parent)
            self._folds[folder] = answer
        return self._folds[folder]


def _cased_entry(folder: str) -> str:
    """Return the name of something in a folder that case changes, empty if there is none."""
    try:
        with os.scandir(folder) as entries:
            return next((each.name for each in entries if each.name.swapcase() != each.name), "")
    except OSError:
        return ""


def _is_same_in_other_case(folder: str, name: str) -> bool:
    """Return whether a name in a folder leads to the same file in the other case."""
    path, other = (os.path.join(folder, each) for each in (name, name.swapcase()))  # noqa: PTH118
    return os.path.lexists(other) and os.path.samestat(os.lstat(path), os.lstat(other))


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
