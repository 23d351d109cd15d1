"""A folder of this machine, or one that is mounted here."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .store import CHUNK, Found, Store, TransientError, part_of, part_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .destination import Destination
    from .store import Source


class LocalStore(Store):
    """Files are written beside their place, read back, and then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""
        try:
            status = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Found(status.st_size, str(status.st_mtime_ns))

    def send(self, path: str, source: Source) -> None:
        """Copy, flush to the disk, read back, rename."""
        self.stage(path, source)
        try:
            self.commit(path, source)
        except FileNotFoundError as error:
            raise _lost(self._root / path) from error

    def create(self, path: str, source: Source) -> bool:
        """Copy, and give the copy a name that nothing has: only one caller can do that."""
        place, part = self._root / path, self._root / part_path(path, source)
        if place.exists():
            return False
        self.stage(path, source)
        try:
            _name(part, place)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def stage(self, path: str, source: Source) -> None:
        """Copy, flush to the disk, read back."""
        part = self._root / part_path(path, source)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                for piece in source.pieces():
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            source.prove(_pieces(part))
        except FileNotFoundError as error:
            raise _lost(part) from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def commit(self, path: str, source: Source) -> None:
        """Rename what was staged."""
        (self._root / part_path(path, source)).replace(self._root / path)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""
        yield from _pieces(self._root / path)

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""
        return sorted(each.name for each in self._root.iterdir() if each.is_dir())

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files directly in a folder."""
        del likely
        try:
            return [each.name for each in (self._root / folder).iterdir() if part_of(each.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty."""
        place = self._root / path
        place.unlink(missing_ok=True)
        with suppress(OSError):  # One that holds something else stays.
            for folder in place.parents:
                if folder == self._root:
                    break
                folder.rmdir()


def _name(part: Path, place: Path) -> None:
    """Give a file a name that nothing has; raise ``FileExistsError`` where something has it."""
    try:
        place.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # This file system has no hard links.
        with place.open("xb") as stream:
            stream.write(part.read_bytes())


def _lost(part: Path) -> TransientError:
    """Return that another process has removed a file, or its folder, in the meantime."""
    return TransientError(f"{part}: removed by another process")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> LocalStore:
    """Return the folder of a destination; it need not be there yet."""
    del options, folder
    return LocalStore(Path(destination.path))
