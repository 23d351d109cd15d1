"""Inflate and compute CRCs with ISA-L if its bindings are installed, else with ``zlib``.

Both return the same bytes and detect the same errors.
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
    """The bytes are not a complete raw deflate stream."""


def crc32(piece: bytes, before: int) -> int:
    """Return the CRC of this piece, continued from ``before``."""
    value: int = engine.crc32(piece, before)
    return value


def inflated(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield the content of a raw deflate stream, in pieces of at most ``most`` bytes."""
    stream = engine.decompressobj(-zlib.MAX_WBITS)
    rest = b""
    # Either engine may keep bytes back when a piece is full although no input is left, so only the
    # stream's own end may end the loop.
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
