"""What every store can do, and the file that is sent to it."""

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


# What a mounted folder answers for a moment: a lock, a server that is away, a stale handle.
_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ENOLCK,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
# A file is read in pieces of so many bytes.
CHUNK: Final = 1 << 20
# No listing of a delivery or of a folder has so many bytes.
MOST_TEXT: Final = 8 << 20
_PART = re.compile(r"\.(?P<name>.+)\.(?P<digest>[0-9a-f]{12})\.(?P<kind>part|old)", re.DOTALL)


class TransientError(errors.StepError):
    """A transient fault: the same may succeed a little later."""


def is_transient(error: errors.StepError | OSError) -> bool:
    """Return whether the same may succeed a little later."""
    return isinstance(error, TransientError) or getattr(error, "errno", None) in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Part:
    """A temporary file beside a file: ``part`` is on its way, ``old`` was set aside for it.

    ``digest`` begins the SHA-256 of the file that is on its way.
    """

    name: str
    digest: str
    kind: str = "part"

    def __str__(self) -> str:
        """Return the temporary file's own name."""
        return f".{self.name}.{self.digest}.{self.kind}"


def part_of(file: str) -> Part | None:
    """Return what the name of a temporary file means, None for the name of any other file."""
    match = _PART.fullmatch(file)
    return Part(**match.groupdict()) if match else None


def part_path(path: str, source: Source, kind: str = "part") -> str:
    """Return the path of the temporary file beside ``path``."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{Part(name, source.sha256[:12], kind)}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a store says of a file: its size, and a mark that changes when the file does."""

    size: int
    mark: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be sent, under its name below the destination.

    ``check`` is called between pieces of 1 MiB and may raise to end the sending.
    """

    name: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO] = field(repr=False)
    check: Callable[[], None] = field(repr=False)

    @classmethod
    def of_file(cls, path: Path, name: str, sha256: str, check: Callable[[], None]) -> Source:
        """Return a file of the target."""
        return cls(name, path.stat().st_size, sha256, lambda: path.open("rb"), check)

    @classmethod
    def of_text(cls, name: str, text: str) -> Source:
        """Return a small file that exists nowhere else."""
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        return cls(name, len(data), digest, lambda: io.BytesIO(data), lambda: None)

    @property
    def kind(self) -> str:
        """The content type that the name speaks of."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from ``start``; raise at the end where the file is no longer the same.

        Never yields more than ``size`` bytes in all, which may have been announced to a server.
        """
        digest, left = hashlib.sha256(), self.size
        with self.open() as stream:
            while piece := stream.read(CHUNK):
                self.check()
                digest.update(piece)
                piece, left = piece[:left], max(0, left - len(piece))
                if piece := piece[start:]:
                    yield piece
                start = max(0, start - CHUNK)
        if digest.hexdigest() != self.sha256:
            raise errors.StepError(
                f"{self.name}: the file has changed since its checksum was taken"
            )

    def start(self, size: int) -> Iterator[bytes]:
        """Yield the first bytes, so many."""
        with self.open() as stream:
            while piece := stream.read(min(CHUNK, size)):
                size -= len(piece)
                yield piece

    def equals(self, pieces: Iterable[bytes]) -> bool:
        """Tell whether these are the same bytes."""
        return tools.digest_of(pieces, check=self.check) == self.sha256

    def prove(self, pieces: Iterable[bytes]) -> None:
        """Raise where what was sent reads otherwise."""
        if not self.equals(pieces):
            raise TransientError(f"{self.name}: what was sent reads otherwise when it is read back")


class Store(Protocol):
    """A folder somewhere, by paths below it with forward slashes.

    Every method may be called on several threads at once. Faults are ``StepError`` of one line,
    ``TransientError`` where another try may succeed, and ``OSError``.
    """

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""

    def send(self, path: str, source: Source) -> None:
        """Put a file there, whole and proven, or raise and leave what was there before.

        Only a store that has no other way may leave the unproven file.
        """
        self.stage(path, source)
        self.commit(path, source)

    def create(self, path: str, source: Source) -> bool:
        """Put a small file there; return False, and change nothing, where one is there.

        Of several callers at once one succeeds, as far as the store can decide that.
        """

    def stage(self, path: str, source: Source) -> None:
        """Put a file beside its place, whole and proven, for ``commit``."""

    def commit(self, path: str, source: Source) -> None:
        """Put a file that was staged into its place."""

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files directly in a folder.

        A store in which listing a folder is expensive looks for the ``likely`` names only; one that
        lists no folders returns none.
        """
        start = f"{folder}/" if folder else ""
        return [name for name in likely if self.find(start + name)]

    def abort_uploads(self, paths: Collection[str]) -> None:
        """End uploads in parts to these paths that began more than a day ago, if there are such."""
        del paths

    def remove(self, path: str) -> None:
        """Remove a file; another process may have done so."""

    def close(self) -> None:
        """Let go of connections."""
        return


def read_text(store: Store, path: str) -> str | None:
    """Return a small file of a store, or None where there is none; of a large one the start."""
    if store.find(path) is None:
        return None
    data = bytearray()
    for piece in store.read(path):
        data += piece
        if len(data) >= MOST_TEXT:
            break
    return data.decode("utf-8", "replace")
