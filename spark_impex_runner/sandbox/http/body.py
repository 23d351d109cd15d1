"""Request bodies, with a Content-Length or in chunked transfer coding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from email.message import Message

    from spark_impex_runner.sandbox.http.messages import Readable

CHUNK = 256 * 1024


class ByteStream(Protocol):
    """The connection from which a body is read."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return one line, cut after ``size`` bytes."""


def open_body(headers: Message, source: ByteStream) -> Readable:
    """Return the body that ``headers`` announce."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return ChunkedBody(source)
    # isdecimal refuses signs and blanks, which int would accept.
    length = headers.get("Content-Length", "0")
    return LengthBody(source, int(length) if length.isdecimal() else 0)


class LengthBody:
    """A body with a Content-Length."""

    def __init__(self, source: ByteStream, length: int) -> None:
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


class ChunkedBody:
    """A body in the chunked transfer coding; trailers are dropped."""

    def __init__(self, source: ByteStream) -> None:
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
