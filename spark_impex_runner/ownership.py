"""Which files of an output earlier runs of its target have put there: only those may be replaced.

What is put into an output is recorded in ``job.placed`` before it gets its name, so a run that was
killed leaves nothing that the next one takes for another's. A folder's record holds the names of
its files: a file that somebody has added to it is not removed with it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import RECEIPT
from spark_impex_runner.paths import Guarded, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.models import Job, KeyValueStore

# A folder that takes the place of another, or that has given up its place.
_LEFTOVER = re.compile(r"\..+\.(?:new|old[0-9]*)", re.DOTALL)
_DO = "move it away, or write to another place"


@dataclass(frozen=True, slots=True)
class Record:
    """What was put at one path: a file, or a folder with files of these names.

    Of a folder that an earlier version of this package has put there, only its size and SHA-256
    are known: ``trees`` are the pairs that it may have.
    """

    names: frozenset[str] = frozenset()
    trees: frozenset[tuple[int, str]] = frozenset()

    @property
    def is_folder(self) -> bool:
        """Whether it is known to be a folder with files."""
        return bool(self.names or self.trees)

    def text(self) -> str:
        """Return the record as a text."""
        packed = zlib.compress("\n".join(sorted(self.names)).encode("utf-8", "surrogateescape"))
        names = base64.b85encode(packed).decode() if self.names else ""
        return json.dumps({"names": names, "trees": sorted(self.trees)})

    @classmethod
    def of(cls, text: str) -> Record | None:
        """Return the record in a text, None if there is none."""
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
    """The records of one target's output, and what no step may replace, whoever put it there."""

    output: Path
    placed: KeyValueStore
    guarded: Guarded
    _read: dict[Path, Record | None] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Ownership:
        """Return that of a job's target."""
        return cls(job.target.output, job.placed, job.run.guarded or Guarded())

    def check(self, path: Path) -> None:
        """Raise ``StepError`` if ``path`` may not be written, or replaced with all that is in it.

        ``path`` lies below the output. Nothing is there, or what earlier runs of the same target
        have put there.
        """
        if reason := self.problem(path):
            raise StepError(reason)

    def problem(self, path: Path) -> str:
        """Return why ``path`` may not be written or replaced, empty if it may."""
        return self.forbidden(path) or self.stranger(path)

    def forbidden(self, path: Path) -> str:
        """Return why nothing may ever be written to ``path``, empty if something may."""
        parts = [folded(part) for part in path.relative_to(self.output).parts]
        home, parent = os.path.realpath(self.output), os.path.realpath(path.parent)
        if ".." in parts or not f"{parent}{os.sep}".startswith(f"{home}{os.sep}"):
            return f"{path} leads out of {self.output}"
        if RECEIPT in parts or ".git" in parts or any(each.startswith(".impex") for each in parts):
            return f"{path} is a name that no step may write to; choose another one"
        if conflict := self.guarded.conflict(path, self.output):
            return f"{path} would replace {conflict}; choose another place"
        return ""

    def stranger(self, path: Path) -> str:
        """Return which file at ``path`` or below it is not from an earlier run, empty if none."""
        try:
            foreign = next(self._foreign(path), None)
        except OSError as error:
            place = error.filename or path
            return f"cannot read {place}: {error.strerror or error}; remove it, or make it readable"
        if foreign is None:
            return ""
        what = "it" if foreign == path else foreign
        return f"{path} is not replaced: no earlier run of this target has put {what} there; {_DO}"

    def claim(self, path: Path, names: Iterable[str] = ()) -> None:
        """Record that ``path`` is about to become a file, or a folder with files of these names.

        What is recorded already stays so until ``settle``.
        """
        known = self.record(path) or Record()
        self._write(path, Record(known.names | frozenset(names), known.trees))

    def settle(self, path: Path, names: Iterable[str] = ()) -> None:
        """Record that ``path`` is a file, or a folder with files of these names, and no others."""
        self._write(path, Record(frozenset(names)))

    def forget(self, path: Path) -> None:
        """Record that nothing of ours is at ``path`` any more."""
        if self.record(path) is not None:
            self.placed.put(self._key(path), "")
            self._read[path] = None

    def record(self, path: Path) -> Record | None:
        """Return what was put at ``path``, None if nothing was."""
        if path not in self._read:
            self._read[path] = Record.of(self.placed.get(self._key(path)))
        return self._read[path]

    def _write(self, path: Path, record: Record) -> None:
        if self.record(path) != record:
            self.placed.put(self._key(path), record.text())
            self._read[path] = record

    def _key(self, path: Path) -> str:
        """Return the key of a path: an output has one, by whatever links it is reached."""
        return str(Path(os.path.realpath(self.output)) / path.relative_to(self.output))

    def _foreign(self, path: Path) -> Iterator[Path]:
        """Yield what no earlier run has put at ``path`` or below it."""
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
        """Tell whether a killed run left a folder that was to take, or had given up, a place."""
        return bool(_LEFTOVER.fullmatch(folder.name)) and self.record(folder) is not None

    def _is_placed(self, file: Path) -> bool:
        """Tell whether an earlier run has put a file there, by itself or within a folder."""
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
    """Return size and digest of a folder as a receipt has them."""
    names = files_of(folder)
    sums = {
        name: digests.of_file(folder / name, ["sha256"], lambda: None)["sha256"] for name in names
    }
    return sum((folder / name).stat().st_size for name in names), digests.of_tree(sums)


def _raise(error: OSError) -> None:
    """Make ``os.walk`` raise for a folder that it cannot read."""
    raise error
