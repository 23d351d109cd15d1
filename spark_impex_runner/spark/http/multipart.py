"""Upload a package as a multipart form, from disk in constant memory."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import TYPE_CHECKING, BinaryIO

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_CHUNK = 1 << 20


class MultipartUpload:
    """A multipart form of known length with a seekable file, which can be sent repeatedly.

    The fields come before the file (seen in the source of the official SDK). ``check`` is called
    before each piece of the file, and may raise to end the upload. With ``sha256`` the last piece
    of a file with another digest is never sent: the server gets an incomplete form, and
    the iteration raises ``UsageError``. ``len`` of the form is that of the body in bytes, ``kind``
    the value of ``Content-Type``.
    """

    def __init__(
        self,
        file: BinaryIO,
        fields: Mapping[str, bytes] | None = None,
        check: Callable[[], None] = lambda: None,
        sha256: str = "",
    ) -> None:
        boundary = uuid.uuid4().hex
        self.kind = f"multipart/form-data; boundary={boundary}"
        start = f"--{boundary}\r\nContent-Disposition: form-data; name="
        head = [
            f'{start}"{name}"\r\n\r\n'.encode() + value + b"\r\n"
            for name, value in (fields or {}).items()
        ]
        # A fixed name: the caller's file name may hold quotes, line breaks or a secret.
        package = '"file"; filename="package.zip"\r\nContent-Type: application/zip\r\n\r\n'
        self._head = b"".join([*head, f"{start}{package}".encode()])
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._check = check
        self._sha256 = sha256

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._file.seek(0)
        digest, last = hashlib.sha256(), b""
        while chunk := self._file.read(_CHUNK):
            self._check()
            digest.update(chunk)
            if last:
                yield last
            last = chunk
        if self._sha256 and digest.hexdigest() != self._sha256:
            raise UsageError(
                f"the file has changed: its sha256 is {digest.hexdigest()}, not {self._sha256}; "
                "the upload was cut off before its end"
            )
        yield last
        yield self._tail
