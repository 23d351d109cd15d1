"""Request bodies, with a Content-Length or in chunked transfer coding."""

from __future__ import annotations

import re
from email.errors import MissingHeaderBodySeparatorDefect
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from email.message import Message

    from spark_impex_runner.sandbox.http.messages import Readable

CHUNK = 256 * 1024
# ``int`` would take signs, blanks, underscores and the digits of other scripts, too.
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_LINE_ENDS = (b"\r\n", b"\n")
# As many as ``http.client`` takes of headers.
_TRAILERS = 100


class ByteStream(Protocol):
    """The connection from which a body is read."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return one line, cut after ``size`` bytes."""


def open_body(headers: Message, source: ByteStream) -> Readable:
    """Return the body that ``headers`` announce.

    Raises ``ValueError`` if they do not say without doubt where it ends: a proxy in front might
    read them otherwise, and let one client send requests as another (RFC 9112, 6.3 and 11.2).
    """
    codings = headers.get_all("Transfer-Encoding", [])
    lengths = headers.get_all("Content-Length", [])
    # A line that is no header ends them for Python, not for others. Bodies have other defects.
    ended_early = any(isinstance(e, MissingHeaderBodySeparatorDefect) for e in headers.defects)
    if ended_early or len(codings) + len(lengths) > 1:
        raise ValueError("the headers contradict each other")
    if codings:
        if codings[0].strip().lower() != "chunked":
            raise ValueError("the transfer coding is unknown")
        return ChunkedBody(source)
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise ValueError("the length is no number")
    return LengthBody(source, int(lengths[0]) if lengths else 0)


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
        if self._left == 0 and self._source.readline(8) not in _LINE_ENDS:
            raise EOFError("a chunk does not end with its length")
        return piece

    def _next_chunk(self) -> None:
        size = _CHUNK_SIZE.fullmatch(self._source.readline(1024))
        if size is None:
            raise EOFError("a chunk has no length")
        self._left = int(size[1], 16)
        if self._left == 0:
            self._ended = True
            for _ in range(_TRAILERS):
                if self._source.readline(65_536) in (*_LINE_ENDS, b""):
                    return
            raise EOFError("too many trailers")
