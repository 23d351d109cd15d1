"""Ownership of output files: a step may replace only what earlier runs of its target put there.

A step records in ``job.placed`` what it puts into an output before that gets its name, so that the
next run recognizes the files of a killed one. The record of a folder has the names of its files: a
file that a user added to the folder is never removed with it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import EVIDENCE, RECEIPT
from spark_impex_runner.paths import ProtectedPaths, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.models import Job, KeyValueStore

# A folder that is about to replace another (.new), or that was replaced (.old).
_LEFTOVER = re.compile(r"\..+\.(?:new|old[0-9]*)", re.DOTALL)
_HINT = "move it, or choose another path"


@dataclass(frozen=True, slots=True)
class Record:
    """What was put at one path: a file, or a folder with files of these ``names``.

    ``trees`` are pairs of size and SHA-256, all that earlier versions recorded about a folder.
    """

    names: frozenset[str] = frozenset()
    trees: frozenset[tuple[int, str]] = frozenset()

    @property
    def is_folder(self) -> bool:
        """True if it is a folder with files."""
        return bool(self.names or self.trees)

    def text(self) -> str:
        """Return the record as text."""
        # Compressed: a folder may have thousands of files, and records are rows of the state.
        packed = zlib.compress("\n".join(sorted(self.names)).encode("utf-8", "surrogateescape"))
        names = base64.b85encode(packed).decode() if self.names else ""
        return json.dumps({"names": names, "trees": sorted(self.trees)})

    @classmethod
    def of(cls, text: str) -> Record | None:
        """Return the record in a text, None if it has none."""
        if not text:
            return None
        try:
            data = json.loads(text)
            packed = base64.b85decode(data["names"])
            names = zlib.decompress(packed).decode("utf-8", "surrogateescape") if packed else ""
            trees = frozenset((int(size), str(sha256)) for size, sha256 in data["trees"])
        except (ValueError, LookupError, TypeError, zlib.error):
            return None
        return cls(frozenset(names.split("\n")) - {""}, trees)


@dataclass(slots=True)
class Ownership:
    """The records of one target's output, and the paths that no step may replace."""

    output: Path
    placed: KeyValueStore
    guarded: ProtectedPaths
    _read: dict[Path, Record | None] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Ownership:
        """Return the ownership of a job's target."""
        return cls(job.target.output, job.placed, job.run.guarded or ProtectedPaths())

    def check(self, path: Path) -> None:
        """Raise ``StepError`` if ``path``, below the output, may not be written or replaced."""
        if reason := self.problem(path):
            raise StepError(reason)

    def problem(self, path: Path) -> str:
        """Return why ``path`` may not be written or replaced, empty if it may."""
        return self.forbidden(path) or self.foreign_file(path)

    def forbidden(self, path: Path) -> str:
        """Return why no step may write to ``path``, empty if one may."""
        # Folded: on some file systems .GIT is .git.
        parts = [folded(part) for part in path.relative_to(self.output).parts]
        home, parent = os.path.realpath(self.output), os.path.realpath(path.parent)
        if ".." in parts or not f"{parent}{os.sep}".startswith(f"{home}{os.sep}"):
            return f"{path} leads out of {self.output}"
        reserved = {RECEIPT, EVIDENCE, ".git"}
        if reserved & {*parts} or any(each.startswith(".impex") for each in parts):
            return f"{path} is a reserved name; choose another one"
        if conflict := self.guarded.conflict(path, self.output):
            return f"{path} would replace {conflict}; choose another path"
        return ""

    def foreign_file(self, path: Path) -> str:
        """Return why a file at ``path`` or below is not of an earlier run, empty if all are."""
        try:
            foreign = next(self._foreign(path), None)
        except OSError as error:
            reason = f"cannot read {error.filename or path}: {error.strerror or error}"
            return f"{reason}; remove it, or make it readable"
        if foreign is None:
            return ""
        what = "it" if foreign == path else foreign
        return f"{path} is not replaced: no earlier run of this target put {what} there; {_HINT}"

    def stranger(self, path: Path) -> str:
        """Return the same as ``foreign_file``, by its old name, for one release."""
        warnings.warn("stranger is now called foreign_file", DeprecationWarning, stacklevel=2)
        return self.foreign_file(path)

    def claim(self, path: Path, names: Iterable[str] = ()) -> None:
        """Record that ``path`` is about to become a file, or a folder with files of these names.

        Earlier names stay recorded until ``settle``.
        """
        known = self.record(path)
        before = known or Record()
        record = Record(before.names | frozenset(names), before.trees)
        if record != known:
            self.placed.put(self._key(path), record.text())
            self._read[path] = record

    def settle(self, path: Path, names: Iterable[str] = ()) -> None:
        """Record that ``path`` is a file, or a folder with exactly these files."""
        # Not at once: what was claimed before says no less.
        record = Record(frozenset(names))
        if self.record(path) != record:
            self.placed.put_later(self._key(path), record.text())
            self._read[path] = record

    def forget(self, path: Path) -> None:
        """Delete the record of ``path``."""
        if self.record(path) is not None:
            self.placed.put_later(self._key(path), "")
            self._read[path] = None

    def record(self, path: Path) -> Record | None:
        """Return the record of ``path``, None if there is none."""
        if path not in self._read:
            self._read[path] = Record.of(self.placed.get(self._key(path)))
        return self._read[path]

    def _key(self, path: Path) -> str:
        """Return the key of a path, the same by whichever links the output is reached."""
        return str(Path(os.path.realpath(self.output)) / path.relative_to(self.output))

    def _foreign(self, path: Path) -> Iterator[Path]:
        """Yield the files at ``path`` and below it that no earlier run put there."""
        if path.is_symlink() or not path.is_dir():
            if os.path.lexists(path) and not self._is_placed(path):
                yield path
            return
        for base, folders, files in os.walk(path, onerror=_raise):
            here = Path(base)
            record = self.record(here)
            if record and record.trees and _tree(here) in record.trees:
                folders.clear()
                continue
            links = [name for name in folders if (here / name).is_symlink()]
            folders[:] = [name for name in folders if not self._is_leftover(here / name)]
            for name in sorted((*files, *links)):
                if not self._is_placed(here / name):
                    yield here / name

    def _is_leftover(self, folder: Path) -> bool:
        """Return True for a folder that a killed run was about to move into place or to delete."""
        return bool(_LEFTOVER.fullmatch(folder.name)) and self.record(folder) is not None

    def _is_placed(self, file: Path) -> bool:
        """Return True if an earlier run put the file there, alone or in a folder."""
        name = file.name
        for folder in file.parents:
            if folder == self.output or not folder.is_relative_to(self.output):
                break
            record = self.record(folder)
            if record is not None and name in record.names:
                return True
            name = f"{folder.name}/{name}"
        return (record := self.record(file)) is not None and not record.is_folder


def files_of(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, relative to it, with ``/`` between parts."""
    return [
        Path(base, name).relative_to(folder).as_posix()
        for base, _, files in os.walk(folder, onerror=_raise)
        for name in files
    ]


def _tree(folder: Path) -> tuple[int, str]:
    """Return the size and digest of a folder as receipts have them."""
    names = files_of(folder)
    sums = {name: digests.sha256(folder / name) for name in names}
    return sum((folder / name).stat().st_size for name in names), digests.of_tree(sums)


def _raise(error: OSError) -> None:
    """Raise ``error``: without it ``os.walk`` skips folders that it cannot read."""
    raise error
