"""A folder of this machine, or one that is mounted here."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.digests import CHUNK

from .store import Found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .destination import Destination
    from .store import Source


class LocalStore:
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
        place = self._root / path
        part = place.with_name(f".{place.name}.{source.sha256[:12]}.part")
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                for piece in source.pieces():
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            source.prove(_pieces(part))
            part.replace(place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""
        yield from _pieces(self._root / path)

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""
        return sorted(each.name for each in self._root.iterdir() if each.is_dir())

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty."""
        place = self._root / path
        place.unlink()
        with suppress(OSError):  # One that holds something else stays.
            for folder in place.parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def close(self) -> None:
        """Nothing is held open."""


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> LocalStore:
    """Return the folder of a destination; it need not be there yet."""
    del options, folder
    return LocalStore(Path(destination.path))
