"""Read a ZIP file entry by entry, in constant memory, and bound what is really decompressed."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

CHUNK = 1 << 18
# Manifests and checksum lists are small; this bounds the memory for malicious ones.
MAX_TEXT = 16 << 20
# The signature of an entry in a ZIP's central directory (APPNOTE 4.3.12).
_HEADER = b"PK\x01\x02"


class OverLimit(Exception):  # noqa: N818 - a verdict on the package, turned into a StepError
    """The package is larger than the options allow."""


class Damaged(Exception):  # noqa: N818 - a finding about the package, reported among the others
    """An entry differs from the ZIP's directory; the message says how."""


@dataclass(slots=True)
class ReadBudget:
    """Counts bytes and files of a package and of the modules in it, up to the limits."""

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
    """An open ZIP file; ``unread`` are the files that were not read yet."""

    def __init__(self, archive: zipfile.ZipFile, budget: ReadBudget) -> None:
        self._archive = archive
        self._budget = budget
        budget.add_files(len(archive.infolist()))
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if "\0" in entry.filename:
                raise zipfile.BadZipFile(f"it has a NUL in the name {entry.filename!r}")
            # Genuine packages name folders again and again, but one file only once.
            if self.entries.setdefault(entry.filename, entry) is not entry and not entry.is_dir():
                raise zipfile.BadZipFile(f"it has two entries named {entry.filename}")
        self.entries = {name: each for name, each in self.entries.items() if not each.is_dir()}
        self.unread = dict.fromkeys(self.entries)

    @staticmethod
    @contextmanager
    def open(stream: IO[bytes], budget: ReadBudget) -> Iterator[Archive]:
        """Open a ZIP file; raise ``BadZipFile`` if it is not one."""
        with tools.open_zip(stream) as archive:
            yield Archive(archive, budget)

    def nested(self, copy: IO[bytes]) -> AbstractContextManager[Archive]:
        """Open a ZIP file that was copied from this one, within the same limits."""
        return Archive.open(copy, self._budget)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file; raise ``Damaged`` if length or CRC differ."""
        self.unread.pop(name, None)
        entry, size = self.entries[name], 0
        try:
            with self._archive.open(entry) as file:
                while piece := file.read(CHUNK):
                    size += len(piece)
                    self._budget.add_bytes(len(piece))
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
            if len(found) > MAX_TEXT:
                raise Damaged(f"expected a text of at most {MAX_TEXT} bytes, found more")
        return bytes(found)

    def copy(self, name: str, target: IO[bytes], seen: Callable[[bytes], None]) -> None:
        """Write one file, a ZIP, to ``target``, and call ``seen`` with each piece.

        Raises ``OverLimit`` if its directory has too many entries.
        """
        # Counted by their signatures on the way: opening the directory loads all entries into
        # memory. A signature across two pieces is missed here and counted when it is opened.
        count = 0
        for piece in self.pieces(name):
            seen(piece)
            target.write(piece)
            count += piece.count(_HEADER)
            self._budget.check_files(count)
