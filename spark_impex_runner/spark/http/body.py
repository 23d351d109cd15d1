"""A reply's body, read up to a limit: as it is sent, and as it is after decompression."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.response import compression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PIECE = 1 << 16
_PLAIN = {b"{", b"[", b"<"}
# zlib finds out by itself whether it is gzip or its own format.
_DETECT_FORMAT = zlib.MAX_WBITS | 32


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
    """Return what decompresses a piece, to so many bytes at most.

    A body that begins as JSON or HTML does is not compressed, whatever its reply calls it.
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
        raise SparkSdkError("the reply is compressed in a way that was not asked for")
    return zlib.decompressobj(_DETECT_FORMAT).decompress
