"""A ZIP file read entry by entry, in constant memory, counting what really comes out."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

PIECE = 1 << 18
# The texts that a package says of itself are small; this many bytes of one are kept in memory.
TEXT = 16 << 20
_HEADER = b"PK\x01\x02"


class OverLimit(Exception):  # noqa: N818 - a verdict on the package, turned into a StepError
    """The package is larger than the options allow."""


class Damaged(Exception):  # noqa: N818 - a finding about the package, told among the others
    """One entry is not what the directory of its ZIP file says; the message says how."""


@dataclass(slots=True)
class Meter:
    """Counts what comes out of a package and the modules in it; ends the work over a limit."""

    max_total: int
    max_files: int
    stopping: Callable[[], bool]
    total: int = 0
    files: int = 0

    def add_bytes(self, count: int) -> None:
        """Count bytes; raise ``OverLimit``, or ``Interrupted`` when the run ends."""
        if self.stopping():
            raise errors.Interrupted
        self.total += count
        if self.total > self.max_total:
            raise OverLimit(f"more than {self.max_total} bytes; raise max_total to allow it")

    def check_files(self, count: int) -> None:
        """Raise ``OverLimit`` if ``count`` more files and folders are too many."""
        if self.files + count > self.max_files:
            raise OverLimit(
                f"more than {self.max_files} files and folders; raise max_files to allow it"
            )

    def add_files(self, count: int) -> None:
        """Count files and folders; raise ``OverLimit``."""
        self.check_files(count)
        self.files += count


class Archive:
    """One open ZIP file. ``left`` are the files that nobody has read yet."""

    def __init__(self, archive: zipfile.ZipFile, meter: Meter) -> None:
        self._archive = archive
        self._meter = meter
        meter.add_files(len(archive.infolist()))
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if "\0" in entry.filename:
                raise zipfile.BadZipFile(f"it has a NUL in the name {entry.filename!r}")
            # Genuine packages name folders again and again, but one file only once.
            if self.entries.setdefault(entry.filename, entry) is not entry and not entry.is_dir():
                raise zipfile.BadZipFile(f"it has two entries named {entry.filename}")
        self.entries = {name: each for name, each in self.entries.items() if not each.is_dir()}
        self.left = dict.fromkeys(self.entries)

    @staticmethod
    @contextmanager
    def open(stream: IO[bytes], meter: Meter) -> Iterator[Archive]:
        """Read an open file; raise ``BadZipFile`` for what is no ZIP."""
        with tools.open_zip(stream) as archive:
            yield Archive(archive, meter)

    def nested(self, copy: IO[bytes]) -> AbstractContextManager[Archive]:
        """Open a ZIP file that was copied out of this one; it counts towards the same limits."""
        return Archive.open(copy, self._meter)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file; raise ``Damaged`` where length or CRC are other ones."""
        self.left.pop(name, None)
        entry, size = self.entries[name], 0
        try:
            with self._archive.open(entry) as file:
                while piece := file.read(PIECE):
                    size += len(piece)
                    self._meter.add_bytes(len(piece))
                    yield piece
        except tools.ZIP_ERRORS as error:
            raise Damaged(f"expected the CRC {entry.CRC:08x}, found: {error}") from error
        if size != entry.file_size:
            raise Damaged(f"expected {entry.file_size} bytes, found {size}")

    def text(self, name: str) -> bytes:
        """Return the bytes of one small file; raise ``Damaged`` as ``pieces`` does."""
        found = bytearray()
        for piece in self.pieces(name):
            found += piece
            if len(found) > TEXT:
                raise Damaged(f"expected a text of at most {TEXT} bytes, found more")
        return bytes(found)

    def copy(self, name: str, target: IO[bytes], seen: Callable[[bytes], None]) -> None:
        """Write one file, a ZIP, into ``target``; ``seen`` is told each piece.

        Raises ``OverLimit`` where its directory has too many entries. They are counted by their
        headers on the way: once the directory is opened they are all in memory. The few headers
        that lie across two pieces are left out of this count, which the exact one follows.
        """
        count = 0
        for piece in self.pieces(name):
            seen(piece)
            target.write(piece)
            count += piece.count(_HEADER)
            self._meter.check_files(count)
