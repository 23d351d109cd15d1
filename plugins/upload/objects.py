"""Store files in S3 and compatible stores, Azure Blob, or Google Cloud Storage.

These stores write objects atomically, so a file is sent under its own name.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions

from spark_impex_runner import errors
from spark_impex_runner.tools.object_store import bucket as find_bucket
from spark_impex_runner.tools.object_store import one_line

from .store import LockedError, RemoteFile, Store, TransientError, part_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from obstore.store import ObjectStore

    from spark_impex_runner.tools.object_store import Bucket

    from .destination import Destination
    from .store import UploadFile

# Concurrent parts of a file, which are also in memory; S3 allows 10,000 parts per upload.
_CONCURRENCY = 4
_PART = 8 << 20
_MAX_PARTS = 10_000
# Transient statuses that obstore does not retry itself.
_TRANSIENT = re.compile(r"status code: (?:408|409|425|429)\b")
# How stores refuse to replace or remove a locked object: Azure Blob (409), Google (403), and stores
# that are compatible with S3 and not versioned (403).
_LOCKED = re.compile(
    r"(?:status code: (?:403|409) |failed for key ).*(?:BlobImmutable|blob is immutable"
    r"|retentionPolicyNotMet|retention policy|UnderActiveHold|under active \S*\s?hold"
    r"|ObjectLocked|protected by object lock|WORM protected)",
    re.IGNORECASE,
)
# How a store refuses a conditional request that it does not support.
_CONDITION_UNKNOWN = re.compile(r"status code: 501\b|NotImplemented|If-None-Match|if-none-match")


class ObjectsStore(Store):
    """Stores objects below a common prefix."""

    def __init__(
        self,
        bucket: Bucket,
        stores: tuple[ObjectStore, ObjectStore],
        root: str,
        options: Mapping[str, Any],
    ) -> None:
        # The second one does not retry: some stores reply 501 to an unsupported condition.
        self._store, self._no_retry = stores
        self._bucket = bucket
        self._options = options
        self._root = f"{root}/" if root else ""
        self._tags = options.get("tags")
        self._kind = options.get("content_type")

    def find(self, path: str) -> RemoteFile | None:
        """Return size and mark of an object, None if there is none."""
        with translated_errors(path):
            try:
                found = obstore.head(self._store, self._root + path)
            except FileNotFoundError:
                return None
        return RemoteFile(found["size"], found["e_tag"] or found["last_modified"].isoformat())

    def send(self, path: str, source: UploadFile) -> None:
        """Put an object, verified by its ETag if that is an MD5, else by reading it back."""
        part = _part_size(source.size)
        etag = _ETag(part)
        with translated_errors(path):
            made = obstore.put(
                self._store,
                self._root + path,
                etag.watch(source.pieces()) if source.size > part else etag.whole(source),
                **self._labels(source),
                use_multipart=source.size > part,
                chunk_size=part,
                max_concurrency=_CONCURRENCY,
            )
        if (made["e_tag"] or "").strip('"') != etag.expected():
            source.verify(self.read(path))

    def create(self, path: str, source: UploadFile) -> bool:
        """Put an object if there is none; the store decides between several callers."""
        # For stores without conditional requests: there, two callers at the same instant may both
        # succeed, and notice it when they read the object.
        if self.find(path) is not None:
            return False
        data = b"".join(source.pieces())
        named = {"path": self._root + path, "file": data, **self._labels(source)}
        with translated_errors(path):
            try:
                self._create(named)
            except exceptions.AlreadyExistsError as error:
                return _refused(error)
        return True

    def _create(self, named: Mapping[str, Any]) -> None:
        """Put an object on condition that there is none, if the store supports it."""
        try:
            obstore.put(self._no_retry, **named, mode="create")
        except exceptions.AlreadyExistsError:
            raise
        except exceptions.BaseError as error:
            unknown = _CONDITION_UNKNOWN.search(str(error))
            obstore.put(self._store, **named, mode="overwrite" if unknown else "create")

    def stage(self, path: str, source: UploadFile) -> None:
        """Put an object beside its path."""
        self.send(part_path(path, source.sha256), source)

    def commit(self, path: str, source: UploadFile) -> None:
        """Put the object, and remove the staged one."""
        # Sent again, not copied: stores copy at most 5 GB, some without tags and checksums.
        self.send(path, source)
        self.remove(part_path(path, source.sha256))

    def _labels(self, source: UploadFile) -> dict[str, Any]:
        """Return content type and tags of an object."""
        return {"attributes": {"Content-Type": self._kind or source.kind}, "tags": self._tags}

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of an object."""
        with translated_errors(path):
            for piece in obstore.get(self._store, self._root + path).stream(1 << 20):
                yield bytes(piece)

    def folders(self) -> list[str]:
        """Return the common prefixes of the names, up to the next slash."""
        with translated_errors(self._root):
            found = obstore.list_with_delimiter(self._store, self._root)["common_prefixes"]
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def remove(self, path: str) -> None:
        """Remove an object."""
        with translated_errors(path), suppress(FileNotFoundError):
            obstore.delete(self._store, self._root + path)


class _ETag:
    """Computes the ETag of S3: the MD5 of the bytes, or of the MD5s of their parts.

    With KMS encryption, and on some stores, an ETag is something else.
    """

    def __init__(self, part: int) -> None:
        self._part = part
        self._left_in_part = part
        self._digests = [_md5()]
        self._several = False

    def watch(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a multipart upload and hash them."""
        self._several = True
        for piece in pieces:
            if not self._left_in_part:
                self._digests.append(_md5())
                self._left_in_part = self._part
            self._digests[-1].update(piece)
            self._left_in_part -= len(piece)
            yield piece

    def whole(self, source: UploadFile) -> bytes:
        """Return the bytes of a single upload and hash them."""
        data = b"".join(source.pieces())
        self._digests[-1].update(data)
        return data

    def expected(self) -> str:
        """Return the ETag of the hashed bytes."""
        if not self._several:
            return self._digests[0].hexdigest()
        parts = b"".join(each.digest() for each in self._digests)
        return f"{_md5(parts).hexdigest()}-{len(self._digests)}"


def _md5(data: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(data, usedforsecurity=False)


def _part_size(size: int) -> int:
    """Return the size of a part in whole MiB, so that a file stays below the limit of parts."""
    needed = -(-size // _MAX_PARTS)
    return max(_PART, -(-needed >> 20) << 20)


def open_store(
    destination: Destination, options: Mapping[str, Any], kind: type[ObjectsStore] = ObjectsStore
) -> ObjectsStore:
    """Open a bucket or container."""
    # The whole request gets a day, since it may carry any number of bytes; a silence, ten minutes.
    client = {"timeout": "24h", "read_timeout": "10m"}
    retries = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
    try:
        bucket = find_bucket(destination.scheme, destination.host, options)
    except errors.UsageError as error:
        raise errors.StepError(str(error)) from error
    with translated_errors(destination.shown):
        store = bucket.open(client, retries)
        once = bucket.open(client, {**retries, "max_retries": 0})
    return kind(bucket, (store, once), destination.path, options)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open an Azure container or a Google bucket, with credentials of the options or defaults."""
    del folder
    return open_store(destination, options)


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Translate the store's errors to ``StepError`` with one line."""
    try:
        yield
    except (exceptions.BaseError, FileNotFoundError) as error:
        message = f"{place}: {one_line(error)}"
        raise _kind_of(message)(message) from error


def _kind_of(message: str) -> type[errors.StepError]:
    """Return the class of an error with this message."""
    if _LOCKED.search(message):
        return LockedError
    return TransientError if _TRANSIENT.search(message) else errors.StepError


def _refused(error: exceptions.AlreadyExistsError) -> bool:
    """Return False if an object exists; raise if S3 reports a concurrent request instead."""
    text = one_line(error)
    if " 409 " in text and "AlreadyExists" not in text:
        raise error
    return False
