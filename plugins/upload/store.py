"""Define the interface of a store, and the file to upload."""

from __future__ import annotations

import errno
import hashlib
import io
import mimetypes
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO


# Transient errors of mounted folders: locks, unreachable servers, stale handles.
_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ENOLCK,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
CHUNK: Final = 1 << 20
# No listing of a delivery or of a folder is larger; bounds the memory for a malicious one.
MAX_TEXT: Final = 8 << 20
_PART = re.compile(r"\.(?P<name>.+)\.(?P<digest>[0-9a-f]{12})\.(?P<kind>part|old)", re.DOTALL)


class TransientError(errors.StepError):
    """A transient error: a retry may succeed."""


class LockedError(errors.StepError):
    """The store refuses to replace or remove a file because of a lock, such as a legal hold."""


def is_transient(error: errors.StepError | OSError) -> bool:
    """Return True if a retry may succeed."""
    return isinstance(error, TransientError) or getattr(error, "errno", None) in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Part:
    """A temporary file: ``part`` is being uploaded, ``old`` was renamed to make room for it.

    ``digest`` is the start of the SHA-256 of the uploaded file.
    """

    name: str
    digest: str
    kind: str = "part"

    def __str__(self) -> str:
        """Return the name of the temporary file."""
        return f".{self.name}.{self.digest}.{self.kind}"


def part_of(file: str) -> Part | None:
    """Parse the name of a temporary file; return None for any other name."""
    match = _PART.fullmatch(file)
    return Part(**match.groupdict()) if match else None


def part_path(path: str, sha256: str, kind: str = "part") -> str:
    """Return the path of the temporary file beside ``path``."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{Part(name, sha256[:12], kind)}"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a store; ``mark`` is its validator, such as an ETag, and changes with the file."""

    size: int
    mark: str


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file to upload, with its name below the destination.

    ``check`` is called between pieces of 1 MiB and may raise to stop the upload.
    """

    name: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO] = field(repr=False)
    check: Callable[[], None] = field(repr=False)

    @classmethod
    def of_file(cls, path: Path, name: str, sha256: str, check: Callable[[], None]) -> UploadFile:
        """Return a file of the target."""
        return cls(name, path.stat().st_size, sha256, lambda: path.open("rb"), check)

    @classmethod
    def of_text(cls, name: str, text: str) -> UploadFile:
        """Return a file with this text as its content."""
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        return cls(name, len(data), digest, lambda: io.BytesIO(data), lambda: None)

    @property
    def kind(self) -> str:
        """The content type, derived from the name."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from ``start``; raise at the end if the file has changed."""
        # Never more than ``size`` bytes, which a server may have been told to expect.
        digest, left = hashlib.sha256(), self.size
        with self.open() as stream:
            while piece := stream.read(CHUNK):
                self.check()
                digest.update(piece)
                piece, left = piece[:left], max(0, left - len(piece))
                if piece := piece[start:]:
                    yield piece
                # Skipped bytes are read all the same: the digest is that of the whole file.
                start = max(0, start - CHUNK)
        if digest.hexdigest() != self.sha256:
            raise errors.StepError(
                f"{self.name}: the file has changed since its checksum was taken"
            )

    def head(self, size: int) -> Iterator[bytes]:
        """Yield the first ``size`` bytes."""
        with self.open() as stream:
            while piece := stream.read(min(CHUNK, size)):
                size -= len(piece)
                yield piece

    def verify(self, pieces: Iterable[bytes]) -> None:
        """Raise ``TransientError`` if the bytes read back are not those of the file."""
        if tools.digest_of(pieces, check=self.check) != self.sha256:
            raise TransientError(f"{self.name}: the uploaded file differs when it is read back")


class Store(Protocol):
    """A folder at a destination; paths are relative to it, with forward slashes.

    All methods are thread-safe. They raise ``StepError`` with one line, ``TransientError`` if a
    retry may succeed, and ``OSError``.
    """

    def find(self, path: str) -> RemoteFile | None:
        """Return size and mark of a file, None if there is none."""

    def send(self, path: str, source: UploadFile) -> None:
        """Upload and verify a file, or raise and leave the previous file.

        Only a store without staging may leave an unverified file.
        """
        self.stage(path, source)
        self.commit(path, source)

    def create(self, path: str, source: UploadFile) -> bool:
        """Upload a small file; return False, and change nothing, if there is one.

        Of concurrent callers one succeeds, as far as the store can decide that.
        """

    def stage(self, path: str, source: UploadFile) -> None:
        """Upload and verify a file beside its path, for ``commit``."""

    def commit(self, path: str, source: UploadFile) -> None:
        """Move a staged file to its path."""

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""

    def folders(self) -> list[str]:
        """Return the names of the folders in the root."""

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files in a folder.

        A store in which listing is expensive or impossible checks the ``likely`` names only.
        """
        start = f"{folder}/" if folder else ""
        return [name for name in likely if self.find(start + name)]

    def abort_uploads(self, paths: Collection[str]) -> None:
        """Abort multipart uploads to these paths that are older than a day."""
        del paths

    def remove(self, path: str) -> None:
        """Remove a file, which may already be gone.

        Raises ``LockedError`` if the store refuses that because of a lock.
        """

    def lock_of(self, path: str) -> str:
        """Return the lock of a file in words, such as ``until …``; empty if there is none.

        Only for stores where a removal would hide a locked file instead of being refused.
        """
        del path
        return ""

    def close(self) -> None:
        """Close the connections."""
        return


def read_text(store: Store, path: str) -> str | None:
    """Return a file as text, cut to ``MAX_TEXT`` bytes, None if there is none."""
    if store.find(path) is None:
        return None
    return first_bytes(store.read(path), MAX_TEXT).decode("utf-8", "replace")


def first_bytes(pieces: Iterable[bytes], limit: int) -> bytes:
    """Return at most ``limit`` bytes from the start of a stream."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) >= limit:
            break
    return bytes(data[:limit])
