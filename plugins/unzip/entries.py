"""Reject unsafe archives by their directory, before a byte is extracted."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spark_impex_runner import tools

from . import names

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Iterator

# Local file header (APPNOTE 4.3.7): its length, signature, and Windows' flag of a link.
_LOCAL_HEADER = 30
_LOCAL_MARK = b"PK\x03\x04"
_REPARSE_POINT = 0x400
_PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


class UnsafeArchive(Exception):  # noqa: N818 - a verdict on the package, turned into a StepError
    """The package must not be extracted; the message says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an extracted package: bytes, files and folders, and compression ratio."""

    total: int
    files: int
    ratio: float

    def check_bytes(self, total: int, package: int) -> None:
        """Raise ``UnsafeArchive`` if ``total`` exceeds a limit for ``package`` bytes."""
        if total > self.total:
            raise UnsafeArchive(f"more than {self.total} bytes; raise max_total to allow it")
        if total > self.ratio * package:
            raise UnsafeArchive(
                f"more than {self.ratio:g} times its own size; raise max_ratio to allow it"
            )

    def check_files(self, files: int) -> None:
        """Raise ``UnsafeArchive`` if there are too many files and folders."""
        if files > self.files:
            raise UnsafeArchive(
                f"more than {self.files} files and folders; raise max_files to allow it"
            )


@dataclass(frozen=True, slots=True)
class File:
    """A file of the package, and the offset of its data."""

    entry: zipfile.ZipInfo
    start: int


def check(archive: zipfile.ZipFile, stream: IO[bytes], limits: Limits) -> list[File]:
    """Return the files; raise ``UnsafeArchive`` if any header is unsafe."""
    entries = archive.infolist()
    limits.check_files(len({entry.filename for entry in entries}))
    for entry in entries:
        reason = names.problem(entry.filename) or _kind_problem(entry)
        if reason:
            raise UnsafeArchive(f"entry {entry_name(entry)} {reason}")
    _check_names(entries, limits)
    return [each for each in _locate(archive, stream) if not each.entry.is_dir()]


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Return the entry's name for a message, quoted and shortened."""
    return tools.quoted(entry.filename)


def _kind_problem(entry: zipfile.ZipInfo) -> str:
    """Return why the kind of an entry is unsafe, empty if it is a plain file or folder."""
    problems = {
        "is a link or another special file": _kind(entry) not in _PLAIN_KINDS,
        "is a link of Windows": entry.external_attr & _REPARSE_POINT,
        "is a folder with content of its own": entry.is_dir() and entry.file_size,
    }
    return next((reason for reason, found in problems.items() if found), "")


def _kind(entry: zipfile.ZipInfo) -> int:
    """Return the Unix file type of the entry."""
    return stat.S_IFMT(entry.external_attr >> 16)


def _check_names(entries: Iterable[zipfile.ZipInfo], limits: Limits) -> None:
    """Reject two entries for one file; genuine packages repeat folders."""
    taken: dict[str, bool] = {}
    for entry in entries:
        *folders, own = _paths(names.key(entry.filename))
        is_folder = entry.is_dir()
        if own in taken and not (is_folder and taken[own]):
            raise UnsafeArchive(f"entry {entry_name(entry)} would overwrite another entry")
        if not all(taken.setdefault(folder, True) for folder in folders):
            raise UnsafeArchive(f"entry {entry_name(entry)} is below an entry that is a file")
        taken[own] = is_folder
        limits.check_files(len(taken))


def _paths(name: str) -> list[str]:
    """Return the parents of ``name``, outermost first, and ``name``."""
    parts = name.removesuffix("/").split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _locate(archive: zipfile.ZipFile, stream: IO[bytes]) -> Iterator[File]:
    """Yield every entry with the offset of its data, in the order of the file."""
    # Entries that share bytes are the trick of zip bombs (Fifield, "A better zip bomb", 2019).
    end = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise UnsafeArchive(f"entry {entry_name(entry)} overlaps another entry")
        stream.seek(entry.header_offset)
        header = stream.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            raise UnsafeArchive(f"entry {entry_name(entry)} is outside the package")
        name, extra = struct.unpack_from("<HH", header, 26)
        start = entry.header_offset + _LOCAL_HEADER + name + extra
        end = start + entry.compress_size
        if end > archive.start_dir:
            raise UnsafeArchive(f"entry {entry_name(entry)} overlaps the table of contents")
        if not header.startswith(_LOCAL_MARK) or stream.read(name) != tools.raw_entry_name(entry):
            raise UnsafeArchive(f"entry {entry_name(entry)} has no header, or that of another file")
        yield File(entry, start)
