"""Object stores: S3 and what speaks like it, Azure Blob, Google Cloud Storage.

An object appears whole or not at all, so it is sent under its own name.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore

from spark_impex_runner import errors

from .store import Found, Store, TransientError, part_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from obstore.store import ObjectStore

    from .destination import Destination
    from .store import Source

# So many parts of a file are on their way at once, and in memory: S3 takes 10,000 of them.
_AT_ONCE = 4
_PART = 8 << 20
_MOST_PARTS = 10_000
# What a store answers with an error: its code and its words stand among much else.
_XML = re.compile(
    r"(?:<\?xml[^>]*>\s*)?<Error>.*?<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>.*</Error>"
)
_DEBUG = "\n\nDebug source:"
# Refusals that pass, and that obstore does not retry itself.
_PASSING = re.compile(r"status code: (?:408|409|425|429)\b")
# How a store refuses a condition that it does not know.
_CONDITION = re.compile(r"status code: 501\b|NotImplemented|If-None-Match|if-none-match")


class ObjectsStore(Store):
    """Objects below a common start of their names."""

    def __init__(
        self,
        stores: tuple[ObjectStore, ObjectStore],
        root: str,
        options: Mapping[str, Any],
        abort: Callable[[Collection[str]], None],
    ) -> None:
        # The second one does not retry: some stores answer 501 to a condition, as to a fault.
        self._store, self._impatient = stores
        self._abort = abort
        self._root = f"{root}/" if root else ""
        self._tags = options.get("tags")
        self._kind = options.get("content_type")

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""
        with told(path):
            try:
                found = obstore.head(self._store, self._root + path)
            except FileNotFoundError:
                return None
        return Found(found["size"], found["e_tag"] or found["last_modified"].isoformat())

    def send(self, path: str, source: Source) -> None:
        """Put an object there; its ETag proves it where that is an MD5, or else it is read back."""
        part = _part_size(source.size)
        etag = _ETag(part)
        with told(path):
            made = obstore.put(
                self._store,
                self._root + path,
                etag.watch(source.pieces()) if source.size > part else etag.whole(source),
                **self._labels(source),
                use_multipart=source.size > part,
                chunk_size=part,
                max_concurrency=_AT_ONCE,
            )
        if (made["e_tag"] or "").strip('"') != etag.expected():
            source.prove(self.read(path))

    def create(self, path: str, source: Source) -> bool:
        """Put an object under a name that has none; the store decides between several callers.

        A store that knows no condition is asked for the object first: two callers at the same
        instant may then both succeed, and find that out when they read the object.
        """
        if self.find(path) is not None:
            return False
        data = b"".join(source.pieces())
        named = {"path": self._root + path, "file": data, **self._labels(source)}
        with told(path):
            try:
                self._create(named)
            except exceptions.AlreadyExistsError as error:
                return _refused(error)
        return True

    def _create(self, named: Mapping[str, Any]) -> None:
        """Put an object on condition that there is none, or without one where that is unknown."""
        try:
            obstore.put(self._impatient, **named, mode="create")
        except exceptions.AlreadyExistsError:
            raise
        except exceptions.BaseError as error:
            unknown = _CONDITION.search(str(error))
            obstore.put(self._store, **named, mode="overwrite" if unknown else "create")

    def stage(self, path: str, source: Source) -> None:
        """Put an object beside its place."""
        self.send(part_path(path, source), source)

    def commit(self, path: str, source: Source) -> None:
        """Put the object into its place, and remove the one beside it.

        It is sent again: stores copy no more than 5 GB, some without tags and checksums.
        """
        self.send(path, source)
        self.remove(part_path(path, source))

    def _labels(self, source: Source) -> dict[str, Any]:
        """Return what an object is stored with."""
        return {"attributes": {"Content-Type": self._kind or source.kind}, "tags": self._tags}

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of an object that is there."""
        with told(path):
            for piece in obstore.get(self._store, self._root + path).stream(1 << 20):
                yield bytes(piece)

    def folders(self) -> list[str]:
        """Return the names directly below, up to their next slash."""
        with told(self._root):
            found = obstore.list_with_delimiter(self._store, self._root)["common_prefixes"]
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def abort_uploads(self, paths: Collection[str]) -> None:
        """End uploads in parts, where the store lets them be listed."""
        self._abort({self._root + path for path in paths})

    def remove(self, path: str) -> None:
        """Remove an object."""
        with told(path), suppress(FileNotFoundError):
            obstore.delete(self._store, self._root + path)


class _ETag:
    """The ETag that S3 gives to bytes: their MD5, or that of the MD5s of their parts.

    A store that encrypts with keys of others, or counts otherwise, gives another.
    """

    def __init__(self, part: int) -> None:
        self._part = part
        self._room = part
        self._digests = [_md5()]
        self._several = False

    def watch(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what is sent in parts."""
        self._several = True
        for piece in pieces:
            if not self._room:
                self._digests.append(_md5())
                self._room = self._part
            self._digests[-1].update(piece)
            self._room -= len(piece)
            yield piece

    def whole(self, source: Source) -> bytes:
        """Return what is sent in one."""
        data = b"".join(source.pieces())
        self._digests[-1].update(data)
        return data

    def expected(self) -> str:
        """Return the ETag of what was passed on."""
        if not self._several:
            return self._digests[0].hexdigest()
        parts = b"".join(each.digest() for each in self._digests)
        return f"{_md5(parts).hexdigest()}-{len(self._digests)}"


def _md5(data: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(data, usedforsecurity=False)


def _part_size(size: int) -> int:
    """Return the size of a part, whole pieces of 1 MiB, so that a file has not too many."""
    needed = -(-size // _MOST_PARTS)
    return max(_PART, -(-needed >> 20) << 20)


def opened(
    kind: Callable[..., ObjectStore],
    destination: Destination,
    options: Mapping[str, Any],
    abort: Callable[[Collection[str]], None] = lambda _: None,
    **own: Any,
) -> ObjectsStore:
    """Open a bucket or container.

    ``abort`` ends the old uploads in parts to some keys; ``own`` are settings of this ``kind``.
    """
    settings = _settings(options)
    impatient = {**settings, "retry_config": {"max_retries": 0}}
    with told(destination.shown):
        store = kind(destination.host, **own, **settings)
        once = kind(destination.host, **own, **impatient)
    return ObjectsStore((store, once), destination.path, options, abort)


# For each scheme the kind of store, and what it calls the options.
_KINDS: Final[Mapping[str, tuple[Callable[..., ObjectStore], Mapping[str, str]]]] = {
    "az": (
        AzureStore,
        {
            "endpoint": "endpoint",
            "account": "account_name",
            "account_key": "account_key",
            "sas_token": "sas_key",
        },
    ),
    "gs": (GCSStore, {"endpoint": "base_url", "service_account": "service_account_key"}),
}


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open an Azure container or a Google bucket, with credentials of options or environment."""
    del folder
    kind, names = _KINDS[destination.scheme]
    return opened(kind, destination, options, config=chosen(options, names))


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how to talk to any of the stores, as keyword arguments.

    Unencrypted only where the manifest's own endpoint says so. A request's time is not limited as a
    whole, since it may carry any number of bytes.
    """
    plain = options.get("endpoint", "").startswith("http://")
    client = {"allow_http": plain, "timeout": "24h", "read_timeout": "10m"}
    retries = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
    return {"client_options": client, "retry_config": retries}


def chosen(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that are there, by the names that the store gives them."""
    return {names[name]: options[name] for name in names if name in options}


@contextmanager
def told(place: str) -> Iterator[None]:
    """Tell of the store's faults in one line."""
    try:
        yield
    except (exceptions.BaseError, FileNotFoundError) as error:
        sentence = f"{place}: {_sentence(error)}"
        raise (TransientError if _PASSING.search(sentence) else errors.StepError)(
            sentence
        ) from error


def _refused(error: exceptions.AlreadyExistsError) -> bool:
    """Return False, that an object is there; raise where S3 only cannot tell at this moment."""
    text = str(error).partition(_DEBUG)[0]
    if " 409 " in text and "AlreadyExists" not in text:
        raise error
    return False


def _sentence(error: Exception) -> str:
    """Return the store's own words in one line, without the place in its code and the time."""
    text = str(error).partition(_DEBUG)[0]
    text = " ".join(re.sub(r" in [0-9.]+(ns|µs|ms|s)\b", "", text).split())
    text = _XML.sub(r"\1: \2", text)
    hint = "; check the endpoint and the network" if text.endswith("error sending request") else ""
    return text + hint
