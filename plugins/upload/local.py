"""Store files in a local or mounted folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner import tools

from .store import CHUNK, RemoteFile, Store, TransientError, part_of, part_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .destination import Destination
    from .store import UploadFile


class LocalStore(Store):
    """Writes a file beside its path, reads it back, and renames it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, path: str) -> RemoteFile | None:
        """Return size and mark of a file, None if there is none."""
        try:
            status = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return RemoteFile(status.st_size, str(status.st_mtime_ns))

    def send(self, path: str, source: UploadFile) -> None:
        """Copy, flush to the disk, read back, rename."""
        self.stage(path, source)
        try:
            self.commit(path, source)
        except FileNotFoundError as error:
            raise _removed(self._root / path) from error

    def create(self, path: str, source: UploadFile) -> bool:
        """Copy, and link the copy to a free name, which only one of several callers can do."""
        place, part = self._root / path, self._root / part_path(path, source.sha256)
        if place.exists():
            return False
        self.stage(path, source)
        try:
            _link(part, place)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def stage(self, path: str, source: UploadFile) -> None:
        """Copy, flush to the disk, read back."""
        part = self._root / part_path(path, source.sha256)
        tools.require_space(part.parent, source.size)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                for piece in source.pieces():
                    stream.write(piece)
                stream.flush()
                # Before the rename: after a power cut the name must not have an empty file.
                os.fsync(stream.fileno())
            source.verify(_pieces(part))
        except FileNotFoundError as error:
            raise _removed(part) from error
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and not error.filename:
                error.filename = str(part)  # that of a write names none
            raise

    def commit(self, path: str, source: UploadFile) -> None:
        """Rename the staged file."""
        (self._root / part_path(path, source.sha256)).replace(self._root / path)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        yield from _pieces(self._root / path)

    def folders(self) -> list[str]:
        """Return the names of the folders in the root."""
        return sorted(each.name for each in self._root.iterdir() if each.is_dir())

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files in a folder."""
        del likely
        try:
            return [each.name for each in (self._root / folder).iterdir() if part_of(each.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that become empty."""
        place = self._root / path
        place.unlink(missing_ok=True)
        with suppress(OSError):  # A folder with other files stays.
            for folder in place.parents:
                if folder == self._root:
                    break
                folder.rmdir()


def _link(part: Path, place: Path) -> None:
    """Link a file to a new name; raise ``FileExistsError`` if it exists."""
    try:
        place.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # This file system has no hard links.
        with place.open("xb") as stream:
            stream.write(part.read_bytes())


def _removed(part: Path) -> TransientError:
    """Return the error for a file that another process has removed, perhaps with its folder."""
    return TransientError(f"{part}: removed by another process")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> LocalStore:
    """Return the store of a folder, which may not exist yet."""
    del options, folder
    return LocalStore(Path(destination.path))
