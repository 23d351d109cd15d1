"""A reply's body is read up to a limit."""

from __future__ import annotations

import zlib
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.body import read_all, read_start

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 10_000


class Endless:
    """A body as urllib3 gives it, which counts what was taken of it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""
        self.taken = 0

    def read(self, amt: int, *, decode_content: bool) -> bytes:
        """Return so many bytes, as urllib3 does; fewer at the end."""
        assert not decode_content
        while len(self._left) < amt and (piece := next(self._pieces, b"")):
            self._left += piece
        piece, self._left = self._left[:amt], self._left[amt:]
        self.taken += len(piece)
        return piece


def compressed(pieces: Iterable[bytes], bits: int = 31) -> Iterable[bytes]:
    """Yield pieces compressed; with ``bits`` of 31 as gzip, of 15 as deflate."""
    pack = zlib.compressobj(wbits=bits)
    for piece in pieces:
        yield pack.compress(piece) + pack.flush(zlib.Z_SYNC_FLUSH)
    yield pack.flush()


GZIP = {"Content-Encoding": "gzip"}
ZEROS = bytes(50_000)
HOSTILE = {
    "plain": (repeat(b"a" * 1000), {}, "limit of 9 KiB"),
    "a bomb": (compressed(repeat(ZEROS)), GZIP, "limit of 9 KiB"),
    "nothing, compressed": (compressed(repeat(b"")), GZIP, "limit of 9 KiB"),
    "a bomb of deflate": (
        compressed(repeat(ZEROS), 15),
        {"Content-Encoding": "Deflate"},
        "limit of 9 KiB",
    ),
    "not gzip": (repeat(b"a" * 1000), GZIP, "damaged"),
    "unknown": (repeat(b"a" * 1000), {"Content-Encoding": "br"}, "unrequested compression, br"),
    "twice": (repeat(b"a" * 1000), {"Content-Encoding": "gzip, gzip"}, "unrequested compression"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_endless_body_is_refused(name: str) -> None:
    """A body without an end is read up to the limit, and refused with a reason."""
    pieces, headers, reason = HOSTILE[name]
    raw = Endless(pieces)

    with pytest.raises(SparkSdkError, match=reason):
        read_all(raw, headers, LIMIT)

    assert raw.taken <= LIMIT + 1


def test_body_at_limit_is_whole() -> None:
    """As many bytes as the limit are no byte too many, compressed or not."""
    body = bytes(range(250)) * 40

    assert read_all(Endless([body]), {}, LIMIT) == body
    assert read_all(Endless(compressed([body])), GZIP, LIMIT) == body
    with pytest.raises(SparkSdkError):
        read_all(Endless([body, b"x"]), {}, LIMIT)


@pytest.mark.parametrize("coding", ["binary", "utf-8", "identity, identity", "gzip", "br", ""])
@pytest.mark.parametrize("body", [b'{"id": 1}', b" [1]", b"<html>"])
def test_wrong_coding_is_ignored(coding: str, body: bytes) -> None:
    """A body that begins like JSON or HTML is not decompressed."""
    assert read_all(Endless([body]), {"Content-Encoding": coding}, LIMIT) == body


def test_start_of_body_is_enough() -> None:
    """Of an error's body the first bytes are returned, and no more are read."""
    raw = Endless(repeat(b"abc"))

    body, complete = read_start(raw, {}, 10)

    assert (body, complete, raw.taken) == (b"abcabcabca", False, 11)


@pytest.mark.parametrize("value", [b"{}", b"[]", b'{"":0}', b"1e5"])
def test_too_many_values_are_refused(value: bytes) -> None:
    """Values take many times their bytes in memory, so their number has a limit as well."""
    body = b"[" + b",".join([value] * (limits.VALUES + 1)) + b"]"

    with pytest.raises(SparkSdkError, match="more values than the limit of 200,000"):
        read_all(Endless([body]), {}, limits.REPLY)
