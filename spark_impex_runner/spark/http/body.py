"""Read a reply's body up to a limit of bytes, sent and decompressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.response import compression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PIECE = 1 << 16
# The first byte of JSON or HTML, which no compressed body has.
_PLAIN = {b"{", b"[", b"<"}
# Makes zlib detect gzip or its own format: servers call either of them `deflate`.
_DETECT_FORMAT = zlib.MAX_WBITS | 32


def read_all(raw: Any, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body of urllib3's response; raise ``SparkSdkError`` if it is too large.

    ``limit`` applies to the bytes sent and to the bytes decompressed.
    """
    body, complete = read_start(raw, headers, limit)
    if not complete:
        raise SparkSdkError(f"the reply is larger than the limit of {limits.size(limit)}")
    if len(body) > _PIECE and sum(map(body.count, (b",", b"[", b"{"))) > limits.VALUES:
        raise SparkSdkError(f"the reply holds more values than the limit of {limits.VALUES:,}")
    return body


def read_start(raw: Any, headers: Mapping[str, str], limit: int) -> tuple[bytes, bool]:
    """Return the first ``limit`` bytes of a body, and whether that is all of it."""
    decode = _decoder(headers)
    body, read = bytearray(), 0
    while piece := raw.read(min(_PIECE, limit + 1 - read), decode_content=False):
        read += len(piece)
        body += decode(piece, limit + 1 - len(body))
        if max(read, len(body)) > limit:
            return bytes(body[:limit]), False
    return bytes(body), True


def _decoder(headers: Mapping[str, str]) -> Callable[[bytes, int], bytes]:
    """Return a function that decompresses a piece to at most so many bytes.

    A body that begins like JSON or HTML is not compressed, whatever its header says.
    """
    coding = compression(headers)
    unpack: Callable[[bytes, int], bytes] | None = None if coding else _identity

    def decode(piece: bytes, most: int) -> bytes:
        nonlocal unpack
        if unpack is None:
            unpack = _identity if piece.lstrip()[:1] in _PLAIN else _unpacker(coding)
        try:
            return unpack(piece, most)
        except zlib.error:
            raise SparkSdkError("the reply's compression is damaged") from None

    return decode


def _identity(piece: bytes, _: int) -> bytes:
    return piece


def _unpacker(coding: str) -> Callable[[bytes, int], bytes]:
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise SparkSdkError(f"the reply has an unrequested compression, {coding}")
    return zlib.decompressobj(_DETECT_FORMAT).decompress
