"""A multipart form with a package in it, sent from the disk in constant memory."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form of known length that can be sent, and sent anew, from a file.

    The fields stand before the file, as the official SDK sends them. ``check`` is called before
    each piece of the file, and may end the sending by what it raises. With ``sha256`` the last
    piece of a file with other bytes is never sent: what arrives is cut off, hence no form.
    """

    head: bytes
    file: BinaryIO
    size: int
    tail: bytes
    kind: str
    check: Callable[[], None]
    sha256: str = ""

    @classmethod
    def of(
        cls,
        file: BinaryIO,
        fields: Mapping[str, bytes] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """Return the form with a package; ``file`` must be seekable and is sent as a whole.

        ``len`` of it is that of the body, ``kind`` the value of ``Content-Type``.
        """
        boundary = uuid.uuid4().hex
        head = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            + value
            + b"\r\n"
            for name, value in (fields or {}).items()
        )
        head += (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="package.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        ).encode()
        size = file.seek(0, os.SEEK_END)
        tail = f"\r\n--{boundary}--\r\n".encode()
        return cls(head, file, size, tail, f"multipart/form-data; boundary={boundary}", check)

    def __len__(self) -> int:
        return len(self.head) + self.size + len(self.tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        self.file.seek(0)
        digest, last = hashlib.sha256(), b""
        while chunk := self.file.read(_CHUNK):
            self.check()
            digest.update(chunk)
            if last:
                yield last
            last = chunk
        if self.sha256 and digest.hexdigest() != self.sha256:
            raise UsageError(
                f"the file to send has changed: its sha256 is {digest.hexdigest()}, not "
                f"{self.sha256}; nothing was sent as a whole"
            )
        yield last
        yield self.tail
