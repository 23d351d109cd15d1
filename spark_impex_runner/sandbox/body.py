"""Request bodies as they come over the wire: with a length, or in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from email.message import Message

    from spark_impex_runner.sandbox.wire import Readable

CHUNK = 256 * 1024


class Source(Protocol):
    """The connection that a body is read from."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return one line, cut after ``size`` bytes."""


def body_of(headers: Message, source: Source) -> Readable:
    """Return the body that ``headers`` announce."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return Chunked(source)
    length = headers.get("Content-Length", "0")
    return Counted(source, int(length) if length.isdecimal() else 0)


class Counted:
    """A body of a known number of bytes."""

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._left = length

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; EOFError where the connection ends too early."""
        if self._left == 0:
            return b""
        piece = self._source.read(min(size, self._left))
        if not piece:
            raise EOFError("the connection ended within a body")
        self._left -= len(piece)
        return piece


class Chunked:
    """A body in the chunked transfer coding; trailers are dropped."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; EOFError where the connection ends too early."""
        if self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return b""
        piece = self._source.read(min(size, self._left))
        if not piece:
            raise EOFError("the connection ended within a body")
        self._left -= len(piece)
        if self._left == 0:
            self._source.readline(8)
        return piece

    def _next_chunk(self) -> None:
        line = self._source.readline(1024)
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            raise EOFError("a chunk has no length") from None
        if self._left == 0:
            self._ended = True
            while self._source.readline(65_536) not in (b"\r\n", b"\n", b""):
                pass
