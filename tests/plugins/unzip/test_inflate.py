from __future__ import annotations

import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.usefixtures("engine")
CONTENT = st.lists(st.binary(max_size=60).flatmap(lambda it: st.just(it * 40))).map(b"".join)


def deflated(content: bytes) -> bytes:
    """Return a raw deflate stream."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


def cut(data: bytes, size: int) -> list[bytes]:
    """Return the data in pieces."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(content=CONTENT, size=st.integers(1, 300), most=st.integers(1, 5000))
def test_every_stream_is_inflated(unzip: ModuleType, content: bytes, size: int, most: int) -> None:
    """Wherever the input is cut and however small the output pieces, the bytes are the same."""
    pieces = list(unzip.inflate.inflated(iter(cut(deflated(content), size)), most))

    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= most for piece in pieces)


@given(content=CONTENT, size=st.integers(1, 300), data=st.data())
def test_truncated_stream_is_damaged(
    unzip: ModuleType, content: bytes, size: int, data: st.DataObject
) -> None:
    """No prefix of a stream passes for the whole of it."""
    stream = deflated(content)
    end = data.draw(st.integers(0, len(stream) - 1))

    with pytest.raises(unzip.inflate.Damaged, match="end too early"):
        list(unzip.inflate.inflated(iter(cut(stream[:end], size)), 1000))


def test_other_data_are_damaged(unzip: ModuleType) -> None:
    """Bytes that are no deflate stream are told apart by either engine."""
    with pytest.raises(unzip.inflate.Damaged):
        list(unzip.inflate.inflated(iter([b"\xff" * 100]), 1000))


@given(pieces=st.lists(st.binary(max_size=300)))
def test_crc_continues_across_pieces(unzip: ModuleType, pieces: list[bytes]) -> None:
    """It is the CRC-32 of all of them together."""
    crc = 0
    for piece in pieces:
        crc = unzip.inflate.crc32(piece, crc)

    assert crc == zlib.crc32(b"".join(pieces))


@pytest.mark.parametrize(("missing", "used"), [("none", "isal.isal_zlib"), ("isal", "zlib")])
def test_zlib_is_the_fallback(missing: str, used: str) -> None:
    """The step works without the library, and uses it where it is."""
    pytest.importorskip("isal")
    program = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from spark_impex_runner.plugins.unzip import inflate; print(inflate.engine.__name__)"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert used.endswith(output.stdout.strip())
