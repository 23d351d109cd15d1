"""The inflate and the CRC: of ISA-L where its bindings are installed, else of ``zlib``.

Both come to the same bytes and find the same faults.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

engine: Any = zlib
with contextlib.suppress(ImportError):
    from isal import isal_zlib

    engine = isal_zlib


class Damaged(Exception):  # noqa: N818 - a finding about the data, turned into a StepError
    """The bytes are no raw deflate stream, or end before it does."""


def crc32(piece: bytes, before: int) -> int:
    """Return the CRC of what came before and this piece."""
    value: int = engine.crc32(piece, before)
    return value


def inflated(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield what a raw deflate stream holds, in pieces of at most ``most`` bytes.

    Either engine may keep bytes back when a piece is full, with no input left unconsumed. So the
    stream's end, and nothing else, ends the loop.
    """
    stream = engine.decompressobj(-zlib.MAX_WBITS)
    rest = b""
    while not stream.eof:
        rest = rest or next(pieces, b"")
        try:
            piece = stream.decompress(rest, most)
        except engine.error as error:
            raise Damaged(str(error)) from error
        if not piece and not rest:
            raise Damaged("the compressed data end too early")
        rest = stream.unconsumed_tail
        if piece:
            yield piece
