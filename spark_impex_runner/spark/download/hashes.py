"""Compute digests during a download."""

from __future__ import annotations

import hashlib
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

_QUEUE_SIZE = 4
_THREADED_FROM = 1 << 20


class Hashing:
    """Computes digests in a second thread, at most four chunks behind; a context manager.

    hashlib releases the interpreter's lock, so the network need not wait for the digest. The first
    mebibyte is hashed at once: a small file is not worth a thread.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        # Allows MD5 as a checksum where FIPS mode forbids it for security.
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._size = 0
        self._queue: queue.Queue[bytes] = queue.Queue(_QUEUE_SIZE)
        self._thread: threading.Thread | None = None

    def update(self, chunk: bytes) -> None:
        """Hash the next chunk, which must not be empty."""
        if self._thread:
            self._queue.put(chunk)
            return
        self._take(chunk)
        self._size += len(chunk)
        if self._size >= _THREADED_FROM:
            self._thread = threading.Thread(target=self._work, name="hashing", daemon=True)
            self._thread.start()

    def hexdigest(self, algorithm: str) -> str:
        """Return a digest; call it after the context has ended."""
        return str(self._hashes[algorithm].hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread:
            self._queue.put(b"")
            self._thread.join()

    def _work(self) -> None:
        while chunk := self._queue.get():
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        for one in self._hashes.values():
            one.update(chunk)
