"""Request bodies end where their framing says."""

from __future__ import annotations

import io
from email import message_from_string
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
        ({"Transfer_Encoding": "chunked"}, b"0x1\r\na\r\n0\r\n\r\n"),
        ({"Transfer_Encoding": "chunked"}, b"1\r\nab\r\n0\r\n\r\n"),
        ({"Transfer_Encoding": "chunked"}, b"0\r\n" + b"A: 1\r\n" * 100 + b"\r\n"),
    ],
)
def test_broken_body_raises(framing: dict[str, str], data: bytes) -> None:
    """A connection that ends within a body is told apart from a complete one."""
    body = open_body(headers(**framing), io.BytesIO(data))

    with pytest.raises(EOFError):
        read_all(body, 100)


@pytest.mark.parametrize(
    "block",
    [
        "Content-Length: 3\nContent-Length: 4",
        "Content-Length: 3\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: -3",
        "Content-Length: +3",
        "Content-Length: 1_0",
        f"Content-Length: {'9' * 5000}",
    ],
)
def test_ambiguous_framing_is_refused(block: str) -> None:
    """A proxy in front may take another end of the body, and so another start of what follows."""
    with pytest.raises(ValueError, match=r"the (headers|transfer coding|length)"):
        open_body(message_from_string(f"{block}\n\n"), io.BytesIO(b"abc"))


def test_negative_chunk_reads_nothing() -> None:
    """It would ask for all that the connection ever sends, in memory."""
    source = io.BytesIO(b"-1\r\nabc")

    with pytest.raises(EOFError):
        open_body(headers(Transfer_Encoding="chunked"), source).read(10)

    assert source.read() == b"abc"
