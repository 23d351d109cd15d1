"""A reply's body, read up to a limit: as it is sent, and as it is after decompression."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PIECE = 1 << 16
# zlib finds out by itself whether it is gzip or its own format.
_ANY_FORMAT = zlib.MAX_WBITS | 32


def read_all(raw: Any, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body of urllib3's response; raise ``SparkSdkError`` where it is too large.

    ``limit`` holds for the bytes that are sent and for those that they decompress to.
    """
    body, complete = read_start(raw, headers, limit)
    if not complete:
        raise SparkSdkError(f"the reply is larger than the limit of {limits.size(limit)}")
    if len(body) > _PIECE and sum(map(body.count, (b",", b"[", b"{"))) > limits.VALUES:
        raise SparkSdkError(f"the reply holds more values than the limit of {limits.VALUES:,}")
    return body


def read_start(raw: Any, headers: Mapping[str, str], limit: int) -> tuple[bytes, bool]:
    """Return the first ``limit`` bytes of a body, and whether there are no more."""
    decode = _decoder(headers)
    body, read = bytearray(), 0
    while piece := raw.read(min(_PIECE, limit + 1 - read), decode_content=False):
        read += len(piece)
        body += decode(piece, limit + 1 - len(body))
        if max(read, len(body)) > limit:
            return bytes(body[:limit]), False
    return bytes(body), True


def _decoder(headers: Mapping[str, str]) -> Callable[[bytes, int], bytes]:
    """Return what decompresses a piece, to so many bytes at most."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return lambda piece, _: piece
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise SparkSdkError("the reply is compressed in a way that was not asked for")
    unpack = zlib.decompressobj(_ANY_FORMAT).decompress

    def decode(piece: bytes, most: int) -> bytes:
        try:
            return unpack(piece, most)
        except zlib.error:
            raise SparkSdkError("the reply's compression is damaged") from None

    return decode
