"""Read a package file by file, in constant memory, and bound what is really decompressed."""

from __future__ import annotations

import os
import zipfile
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from spark_impex_runner import archives
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

CHUNK = 1 << 18
# Manifests and checksum lists are small; this bounds the memory for malicious ones.
MAX_TEXT = 16 << 20
# In the folder of the tenant; it lists the services of a package.
MANIFEST = "manifest.json"
# The signature of an entry in a ZIP's central directory (APPNOTE 4.3.12).
_HEADER = b"PK\x01\x02"


class OverLimitError(Exception):
    """The package is larger than a limit; ``limit`` is the field of ``ReadBudget``."""

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class DamagedFileError(Exception):
    """A file of the package cannot be read as its directory says; the message says why."""


@dataclass(slots=True)
class ReadBudget:
    """Counts bytes and files of a package and of the modules in it, up to the limits."""

    max_total: int
    max_files: int
    stopping: Callable[[], bool]
    total: int = 0
    files: int = 0

    def add_bytes(self, count: int) -> None:
        """Count bytes; raise ``OverLimitError``, or ``Interrupted`` when the run ends."""
        if self.stopping():
            raise Interrupted
        self.total += count
        if self.total > self.max_total:
            raise OverLimitError(f"more than {self.max_total} bytes", "max_total")

    def check_files(self, count: int) -> None:
        """Raise ``OverLimitError`` if ``count`` more files and folders are too many."""
        if self.files + count > self.max_files:
            most = f"more than {self.max_files} files and folders"
            raise OverLimitError(most, "max_files")

    def add_files(self, count: int) -> None:
        """Count files and folders; raise ``OverLimitError``."""
        self.check_files(count)
        self.files += count


class FileReader(ABC):
    """The files of a package by name; all reading counts towards one budget."""

    def __init__(self, budget: ReadBudget) -> None:
        self._budget = budget

    @property
    @abstractmethod
    def names(self) -> Mapping[str, object]:
        """The names of all files, with slashes."""

    @property
    def manifest(self) -> str | None:
        """The name of ``{tenant}/manifest.json``, None if there is not exactly one."""
        found = [name for name in self.names if name.split("/")[1:] == [MANIFEST]]
        return found[0] if len(found) == 1 else None

    @abstractmethod
    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file; raise ``DamagedFileError``."""

    def text(self, name: str) -> bytes:
        """Return the bytes of one small file; raise ``DamagedFileError``."""
        found = bytearray()
        for piece in self.pieces(name):
            found += piece
            if len(found) > MAX_TEXT:
                raise DamagedFileError(f"expected a text of at most {MAX_TEXT} bytes, found more")
        return bytes(found)

    def copy(self, name: str, target: IO[bytes], seen: Callable[[bytes], None]) -> None:
        """Write one file, a ZIP, to ``target``, and call ``seen`` with each piece.

        Raises ``OverLimitError`` if its directory has too many entries.
        """
        # Counted by their signatures on the way: opening the directory loads all entries into
        # memory. A signature across two pieces is missed here and counted when it is opened.
        count = 0
        for piece in self.pieces(name):
            seen(piece)
            target.write(piece)
            count += piece.count(_HEADER)
            self._budget.check_files(count)

    def nested(self, copy: IO[bytes]) -> AbstractContextManager[ArchiveReader]:
        """Open a ZIP file that was copied from the package, within the same limits."""
        return ArchiveReader.open(copy, self._budget)


class ArchiveReader(FileReader):
    """An open ZIP file; ``unread`` are the files that were not read yet."""

    def __init__(self, archive: zipfile.ZipFile, budget: ReadBudget) -> None:
        super().__init__(budget)
        self._archive = archive
        budget.add_files(len(archive.infolist()))
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if "\0" in entry.filename or not entry.filename:
                raise zipfile.BadZipFile(f"it has an entry with the name {entry.filename!r}")
            # Genuine packages name folders again and again, but one file only once.
            if self.entries.setdefault(entry.filename, entry) is not entry and not entry.is_dir():
                raise zipfile.BadZipFile(f"it has two entries named {entry.filename}")
        self.entries = {name: each for name, each in self.entries.items() if not each.is_dir()}
        self.unread = dict.fromkeys(self.entries)

    @staticmethod
    @contextmanager
    def open(stream: IO[bytes], budget: ReadBudget) -> Iterator[ArchiveReader]:
        """Open a ZIP file; raise ``BadZipFile`` if it is not one."""
        with archives.opened(stream) as archive:
            yield ArchiveReader(archive, budget)

    @property
    def names(self) -> Mapping[str, object]:
        """The names of all files, without folders."""
        return self.entries

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file; raise ``DamagedFileError`` if length or CRC differ."""
        self.unread.pop(name, None)
        entry, size = self.entries[name], 0
        try:
            with self._archive.open(entry) as file:
                while piece := file.read(CHUNK):
                    size += len(piece)
                    self._budget.add_bytes(len(piece))
                    yield piece
        except archives.BROKEN as error:
            raise DamagedFileError(f"expected the CRC {entry.CRC:08x}, found: {error}") from error
        if size != entry.file_size:
            raise DamagedFileError(f"expected {entry.file_size} bytes, found {size}")


class FolderReader(FileReader):
    """The files of a package that was extracted to a folder."""

    def __init__(self, folder: Path, budget: ReadBudget) -> None:
        super().__init__(budget)
        self._files = dict(self._found(folder))

    @property
    def names(self) -> Mapping[str, object]:
        """The names of all files, relative to the folder."""
        return self._files

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file; raise ``DamagedFileError`` if it cannot be read."""
        try:
            with self._files[name].open("rb") as file:
                while piece := file.read(CHUNK):
                    self._budget.add_bytes(len(piece))
                    yield piece
        except OSError as error:
            raise DamagedFileError(f"cannot be read: {error.strerror}") from error

    def _found(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield name and path of each file; links lead anywhere, and no package has them."""
        for base, folders, names in os.walk(folder):
            self._budget.add_files(len(folders) + len(names))
            for path in (Path(base, name) for name in sorted(names)):
                if path.is_file() and not path.is_symlink():
                    yield path.relative_to(folder).as_posix(), path
