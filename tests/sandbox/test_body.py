"""Request bodies end where their framing says."""

from __future__ import annotations

import io
from email.message import Message
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.sandbox.http.body import open_body

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import Readable


def headers(**fields: str) -> Message:
    """Return a header block."""
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def read_all(body: Readable, size: int) -> bytes:
    """Read a body to its end in pieces of ``size``."""
    return b"".join(iter(lambda: body.read(size), b""))


@given(data=st.binary(max_size=50), size=st.integers(1, 60))
def test_length_body_ends(data: bytes, size: int) -> None:
    """The next request on the connection is left alone."""
    source = io.BytesIO(data + b"GET /next")

    body = open_body(headers(Content_Length=str(len(data))), source)

    assert read_all(body, size) == data
    assert source.read() == b"GET /next"


@given(chunks=st.lists(st.binary(min_size=1, max_size=20)), size=st.integers(1, 60))
def test_chunked_body_ends(chunks: list[bytes], size: int) -> None:
    """Chunks join, extensions and trailers vanish, the next request is left alone."""
    framed = b"".join(b"%x;name=value\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    source = io.BytesIO(framed + b"0\r\nTrailer: 1\r\n\r\nGET /next")

    body = open_body(headers(Transfer_Encoding="chunked"), source)

    assert read_all(body, size) == b"".join(chunks)
    assert source.read() == b"GET /next"


def test_no_framing_means_no_body() -> None:
    """Without a length and chunks nothing is read."""
    assert open_body(headers(), io.BytesIO(b"GET /next")).read(10) == b""


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        ({"Content_Length": "9"}, b"abc"),
        ({"Transfer_Encoding": "chunked"}, b"5\r\nab"),
        ({"Transfer_Encoding": "chunked"}, b"five\r\nabcde"),
    ],
)
def test_broken_body_raises(framing: dict[str, str], data: bytes) -> None:
    """A connection that ends within a body is told apart from a complete one."""
    body = open_body(headers(**framing), io.BytesIO(data))

    with pytest.raises(EOFError):
        read_all(body, 100)
