"""Multipart bodies arrive whole, whatever the pieces they are read in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.sandbox.http.multipart import FIELD_LIMIT, receive

if TYPE_CHECKING:
    from pathlib import Path

TYPE = 'multipart/form-data; boundary="--x"'


class Dripping:
    """A body that comes in pieces of one size, however much is asked for."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = io.BytesIO(data)
        self._size = size

    def read(self, _: int, /) -> bytes:
        """Return the next piece."""
        return self._data.read(self._size)


def body_of(field: bytes, file: bytes, preamble: bytes = b"") -> bytes:
    """Return a body with one field and one file."""
    return (
        preamble + b"----x\r\n"
        b'Content-Disposition: form-data; name="field"\r\n\r\n' + field + b"\r\n----x\r\n"
        b'content-disposition: form-data; name="file"; filename="a.zip"\r\n'
        b"Content-Type: application/zip\r\n\r\n" + file + b"\r\n----x--\r\n"
    )


# Parts of delimiters are what a scanner stumbles over.
content = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"\r\n----", b"x", b"data"])
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=content.filter(lambda data: b"\r\n----x" not in b"\r\n" + data),
    file=content.filter(lambda data: b"\r\n----x" not in b"\r\n" + data),
    size=st.integers(1, 40),
)
def test_any_content_in_any_pieces(tmp_path: Path, field: bytes, file: bytes, size: int) -> None:
    """Field and file come out as they went in."""
    form = receive(TYPE, Dripping(body_of(field, file), size), tmp_path)

    assert form.fields == {"field": field}
    assert form.files["file"].read_bytes() == file


def test_a_preamble_is_passed_over(tmp_path: Path) -> None:
    """Text before the first delimiter is no part."""
    form = receive(TYPE, io.BytesIO(body_of(b"1", b"2", b"This is a form.\r\n")), tmp_path)

    assert list(form.fields) == ["field"]


@pytest.mark.parametrize("kept", range(0, 200, 7))
def test_incomplete_upload_leaves_no_file(tmp_path: Path, kept: int) -> None:
    """A body without its end is refused, and what it brought is deleted."""
    body = body_of(b"1", b"2" * 40)
    assert kept < len(body) - 4

    with pytest.raises(ValueError, match="ends too early"):
        receive(TYPE, io.BytesIO(body[:kept]), tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data"])
def test_another_content_type_is_refused(tmp_path: Path, kind: str) -> None:
    """Without a form and its boundary there is nothing to read."""
    with pytest.raises(ValueError, match="boundary"):
        receive(kind, io.BytesIO(b""), tmp_path)


def test_unnamed_part_is_refused(tmp_path: Path) -> None:
    """Every part must say what it is."""
    body = b"----x\r\nContent-Type: text/plain\r\n\r\nhello\r\n----x--\r\n"

    with pytest.raises(ValueError, match="no name"):
        receive(TYPE, io.BytesIO(body), tmp_path)


def test_a_huge_field_is_refused(tmp_path: Path) -> None:
    """Fields are held in memory, so they have a limit."""
    body = body_of(b"x" * (FIELD_LIMIT + 1), b"")

    with pytest.raises(ValueError, match="the field field exceeds"):
        receive(TYPE, io.BytesIO(body), tmp_path)
