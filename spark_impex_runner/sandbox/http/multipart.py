"""Multipart bodies, read as a stream: files are written to disk, fields kept in memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.sandbox.http.body import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.sandbox.http.messages import Readable

FIELD_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a body by their names; what came with a file name lies in ``files``."""

    fields: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def receive(content_type: str, stream: Readable, directory: Path) -> Form:
    """Read a multipart body, and write its files to new files in ``directory``.

    Raises ValueError if the body is malformed.
    """
    scanner = _Scanner(stream)
    delimiter = b"\r\n--" + _boundary(content_type)
    form = Form()
    try:
        _drop(scanner.until(delimiter))
        while scanner.line().rstrip() != b"--":
            _part(scanner, delimiter, form, directory)
    except ValueError:
        # The caller gets no form, and could not remove the files.
        for path in form.files.values():
            path.unlink()
        raise
    return form


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise ValueError("the body must be multipart/form-data with a boundary")
    return boundary.encode()


def _part(scanner: _Scanner, delimiter: bytes, form: Form, directory: Path) -> None:
    headers = BytesHeaderParser().parsebytes(scanner.header())
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise ValueError("a part of the body has no name")  # noqa: TRY004 - content, not type
    pieces = scanner.until(delimiter)
    if headers.get_filename() is None:
        form.fields[name] = b"".join(_bounded(pieces, name))
        return
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".upload", delete=False) as file:
        form.files[name] = Path(file.name)
        for piece in pieces:
            file.write(piece)


def _bounded(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > FIELD_LIMIT:
            raise ValueError(f"the field {name} exceeds {FIELD_LIMIT} bytes")
        yield piece


def _drop(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


class _Scanner:
    """Looks for delimiters in a stream, with little more than one chunk in memory."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        # The first delimiter has no line break before it, unlike all others (RFC 2046, 5.1.1).
        self._buffer = b"\r\n"

    def until(self, delimiter: bytes) -> Iterator[bytes]:
        """Yield the bytes before ``delimiter``, and skip it."""
        while (place := self._buffer.find(delimiter)) < 0:
            # The end of the buffer may be the start of a delimiter, so it is kept.
            safe = max(len(self._buffer) - len(delimiter) + 1, 0)
            ready, self._buffer = self._buffer[:safe], self._buffer[safe:]
            yield ready
            self._fill()
        ready, self._buffer = self._buffer[:place], self._buffer[place + len(delimiter) :]
        yield ready

    def line(self) -> bytes:
        """Return the rest of a delimiter's line: ``--`` after the last one."""
        while len(self._buffer) < 2:
            self._fill()
        if self._buffer.startswith(b"--"):
            return b"--"
        return b"".join(_bounded(self.until(b"\r\n"), "boundary"))

    def header(self) -> bytes:
        """Return the header lines of a part."""
        return b"".join(_bounded(self.until(b"\r\n\r\n"), "headers"))

    def _fill(self) -> None:
        piece = self._stream.read(CHUNK)
        if not piece:
            raise ValueError("the multipart body ends too early")
        self._buffer += piece
