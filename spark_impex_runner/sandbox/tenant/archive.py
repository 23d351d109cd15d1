"""Writes ZIP files like the genuine ones: created on Unix, without data descriptors."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from spark_impex_runner.sandbox.http.body import CHUNK

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MOMENT = (2025, 1, 15, 9, 30, 0)
"""The time of every entry, so that the same content gives the same bytes."""


class Writer:
    """Adds entries to a new archive in a seekable file."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def directory(self, name: str) -> None:
        """Add a directory entry; a genuine package repeats some of them."""
        # zipfile warns about a name that the archive has already.
        self._archive.NameToInfo.pop(name, None)
        self._archive.writestr(_entry(name, ZIP_STORED, 0o40755), b"")

    def text(self, name: str, content: bytes) -> None:
        """Add a file with ``content``."""
        self._archive.writestr(_entry(name, ZIP_DEFLATED, 0o100644), content)

    def stream(self, name: str, source: BinaryIO, algorithm: str) -> str:
        """Add the rest of ``source``, and return its digest in hex."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with self._archive.open(_entry(name, ZIP_DEFLATED, 0o100644), "w") as target:
            while piece := source.read(CHUNK):
                digest.update(piece)
                target.write(piece)
        return digest.hexdigest()


def _entry(name: str, compression: int, mode: int) -> ZipInfo:
    entry = ZipInfo(name, MOMENT)
    entry.compress_type = compression
    entry.create_system = 3  # Unix, as in genuine packages; Python on Windows writes 0
    entry.external_attr = mode << 16
    return entry


def file_hash(path: Path, algorithm: str) -> bytes:
    """Return the digest of a file, read in chunks."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.digest()


def compact(data: Any) -> bytes:
    """Return ``data`` as JSON without blanks, in UTF-8."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
