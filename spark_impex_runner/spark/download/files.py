"""Download files; one gets its final name only after it is verified."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from spark_impex_runner import digests
from spark_impex_runner.errors import (
    IntegrityError,
    SparkSdkError,
    TransportError,
    UnreadablePackageError,
)
from spark_impex_runner.models import Artifact, RemoteFile
from spark_impex_runner.spark.download import disk_space, partial
from spark_impex_runner.spark.download.hashes import Hashing
from spark_impex_runner.spark.download.links import EXPIRED
from spark_impex_runner.spark.download.partial import disk_errors
from spark_impex_runner.spark.download.segments import RangeSource, Segments
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.message import CHUNK, HttpRequest
from spark_impex_runner.spark.http.response import (
    HttpResponse,
    api_error,
    compression,
    json_or_none,
)
from spark_impex_runner.spark.http.retry import IMMEDIATE, retry
from spark_impex_runner.spark.http.urls import redacted, secrets_of, split
from spark_impex_runner.spark.tenant import is_safe_to_call

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.digests import Hash
    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.spark.http.session import Session
    from spark_impex_runner.spark.http.transport import Stream, Transport

_T = TypeVar("_T")

DEFAULT_NAME = "package.zip"
_MAX_REDIRECTS = 5
# Characters that Windows refuses, and the replacement of bytes that are no UTF-8.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\ufffd]')
# Windows reserves these names for devices, with any extension.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# A compressed body would make offsets and lengths differ from those of the file.
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Download:
    """A complete download: the reply without its body, and the file."""

    reply: HttpResponse
    artifact: Artifact


def fetch(
    session: Session,
    remote: RemoteFile,
    path: Path,
    announce: Callable[[int], None] = lambda _: None,
) -> Artifact:
    """Download a link to the partial file ``path``; return it with its digests, not yet verified.

    Sends no credentials. Resumes what ``path`` holds already, also from an earlier process, if the
    server supports it and the bytes are the same (Range and If-Range). Retries while bytes arrive,
    and for ten minutes without any. Every error keeps the received bytes for the next call;
    ``partial.discard`` removes them. ``announce`` gets the size of the whole file in bytes as soon
    as the server says it.

    Raises:
        SparkApiError: the server refuses the link; see ``links.has_expired``.
        TransportError: the server could not be reached, or cut the file off.
        DeliveryError: the disk refused, or is too small.
        Interrupted: the run was asked to stop.
    """
    return receive(session, remote, path, announce).artifact


def receive(
    session: Session,
    remote: RemoteFile,
    path: Path,
    announce: Callable[[int], None] = lambda _: None,
) -> Download:
    """Do what ``fetch`` does, and return the reply, too."""
    # Which algorithm Spark uses is not published: name or length of the hash decides.
    expected = digests.read_hash(remote.file_hash or "")
    algorithms = ("sha256", expected.algorithm if expected else "sha256")
    http = session.http
    state = _DownloadState(path, http.clock, algorithms, remote.file_hash, announce)
    action = f"downloading {redacted(remote.url)}"

    def once() -> HttpResponse:
        try:
            reply = state.attempt(http.transport, remote.url)
        except TransportError as error:
            raise error.at(action) from None
        if reply.status == 200:
            return reply
        expired = reply.status in EXPIRED
        todo = "the link may have expired; the job's status offers a new one" if expired else ""
        raise api_error(reply, action, "", http.masker, todo)

    reply = retry(once, http.policy, http.clock, progress=lambda: state.progress)
    artifact = Artifact(
        path=path,
        name=filename(remote.url),
        size=state.size,
        sha256=state.digests["sha256"],
        remote=remote,
        hash_agreed=state.agrees_with(expected),
        digests=state.digests,
    )
    return Download(reply, artifact)


def filename(url: str) -> str:
    """Return the file name at the end of a link, ``package.zip`` if it is not a plain one.

    The last segment of the raw path is decoded, so that an encoded slash cannot add a folder.
    """
    last = split(url).path.rpartition("/")[2]
    name = unquote(last)
    plain = (
        name.isprintable()
        and not _NOT_IN_NAMES.search(name)
        and not name.startswith((".", " "))
        and not name.endswith((".", " "))
        and not _DEVICE.fullmatch(name)
        and len(name.encode()) <= 200
    )
    return name if name and plain and last not in set(secrets_of(url)) else DEFAULT_NAME


def download_verified(
    path: Path,
    once: Callable[[], _T],
    clock: Clock,
    report: Callable[[SparkError, str], None],
) -> _T:
    """Return the result of ``once``, which downloads to the partial file ``path`` and verifies.

    After an ``IntegrityError`` it removes the file and downloads it again from the beginning, up
    to twice, since a proxy may have damaged it on the way. ``report`` gets each error but the last,
    which is raised, and so is one that another download cannot change. Other errors keep the bytes.
    """

    def attempt() -> _T:
        try:
            return once()
        except IntegrityError:
            partial.discard(path)
            raise

    return retry(attempt, IMMEDIATE, clock, transient=_is_worth_repeating, report=report)


def _is_worth_repeating(error: SparkError) -> bool:
    return isinstance(error, IntegrityError) and not isinstance(error, UnreadablePackageError)


def commit(path: Path, final: Path) -> None:
    """Rename a verified file in the same folder; the new name survives a power cut."""
    with disk_errors(final):
        path.replace(final)
        partial.forget(path)
        # A rename survives a power cut only after its folder is synced; Windows cannot open a
        # folder.
        if os.name == "posix":
            folder = os.open(final.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@dataclass(slots=True)
class _DownloadState:
    """State of one download; each attempt resumes where the last one ended, if possible.

    ``furthest`` is the largest size that the file ever had, in bytes. Repeated bytes are no
    progress, so that a server which cuts the file at the same place each time is given up.
    """

    path: Path
    clock: Clock
    algorithms: tuple[str, ...]
    file_hash: str | None = None
    announce: Callable[[int], None] = lambda _: None
    attempts: int = 0
    size: int = 0
    furthest: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    segments: Segments = field(init=False)

    def __post_init__(self) -> None:
        self.segments = Segments(self.path.parent, self.clock)

    def agrees_with(self, expected: Hash | None) -> bool | None:
        """Return whether the hash is the one that was announced, None if none was."""
        return self.digests[expected.algorithm] == expected.digest.hex() if expected else None

    @property
    def progress(self) -> int:
        """The progress in steps of ``limits.SLOW`` bytes, so that a trickle is none."""
        return self.furthest // limits.SLOW

    def attempt(self, transport: Transport, url: str) -> HttpResponse:
        info = partial.read(self.path, self.file_hash)
        begin = self.path.stat().st_size if info else 0
        if info and begin == info.length:
            self._write((), begin)
            return HttpResponse(200, path=self.path)
        self.attempts += 1
        with _follow(transport, url, info.range_headers(begin) if info else {}) as stream:
            if self.attempts > 1:  # after a cut, the next one must not lose a whole piece again
                stream.fast = False
            if stream.status not in {200, 206, 416}:
                body = stream.body()
                return HttpResponse(stream.status, stream.headers, json_or_none(body), body)
            self._accept(transport, stream, info, begin)
            return HttpResponse(200, stream.headers, path=self.path)

    def _accept(
        self, transport: Transport, stream: Stream, info: partial.ResumeInfo | None, begin: int
    ) -> None:
        """Write a whole file, or append the rest of one; discard it after any other reply."""
        length: int | None
        if stream.status == 200:
            partial.discard(self.path)  # new resume info must never describe old bytes
            info = partial.resume_info_of(stream.headers, self.file_hash)
            begin, length = 0, partial.length_of(stream.headers)
        elif stream.status == 206 and info and info.matches(stream.headers, begin):
            length = info.length
        else:
            partial.discard(self.path)
            raise TransportError("the server sends another part of the file than requested")
        self.announce(length or 0)
        with ExitStack() as opened:
            opened.enter_context(disk_space.reserved(self.path, length or 0))
            chunks = opened.enter_context(closing(self._chunks(transport, stream, info, begin)))
            if length is None:
                chunks = opened.enter_context(closing(disk_space.without_length(self.path, chunks)))
            if not begin and (coding := compression(stream.headers)):
                chunks = opened.enter_context(closing(_uncompressed(chunks, coding)))
            if info and not begin:
                chunks = opened.enter_context(
                    closing(partial.with_resume_info(self.path, info, chunks))
                )
            self._write(_until(chunks, length, begin), begin)
        if length is not None and self.size != length:
            if self.size > length:
                partial.discard(self.path)
            raise TransportError(f"the connection closed after {self.size:,} of {length:,} bytes")

    def _chunks(
        self, transport: Transport, stream: Stream, info: partial.ResumeInfo | None, begin: int
    ) -> Generator[bytes, None, None]:
        """Yield the body, over several connections if the server supports ranges."""
        if info and (stream.status == 206 or stream.headers.get("Accept-Ranges") == "bytes"):
            source = RangeSource(lambda part: _follow(transport, stream.url, part), info)
            yield from self.segments.chunks(stream, source, begin)
        else:
            yield from stream.chunks()

    def _write(self, chunks: Iterable[bytes], begin: int) -> None:
        """Append the chunks at ``begin``, and compute the digests of the whole file."""
        self.size = 0
        hashing = Hashing(set(self.algorithms))
        with disk_errors(self.path), self.path.open("r+b" if begin else "wb") as file:
            with hashing:
                for chunk in _existing(file, begin):
                    self.clock.check()
                    hashing.update(chunk)
                    self.size += len(chunk)
                for chunk in chunks:
                    self.clock.check()
                    hashing.update(chunk)
                    file.write(chunk)
                    self.size += len(chunk)
                    self.furthest = max(self.furthest, self.size)
            file.flush()
            os.fsync(file.fileno())
        self.digests = {name: hashing.hexdigest(name) for name in self.algorithms}


def _existing(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the first ``length`` bytes of the file, and leave its position behind them."""
    while length and (chunk := file.read(min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


def _until(chunks: Iterable[bytes], length: int | None, size: int) -> Iterator[bytes]:
    """Yield chunks until soon after the announced end, so that no body can fill the disk."""
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if length is not None and size > length:
            return


def _uncompressed(chunks: Iterable[bytes], coding: str) -> Generator[bytes, None, None]:
    """Yield the chunks of a package; raise ``SparkSdkError`` if it is compressed as announced.

    The bytes decide, since stores announce wrong codings. It is no ``IntegrityError``: another
    download would be compressed, too.
    """
    for number, chunk in enumerate(chunks):
        if not number and chunk[:2] != b"PK"[: len(chunk)]:
            raise SparkSdkError(
                f"the package is sent compressed (Content-Encoding: {coding}), though the request "
                "forbids it; switch the compression off in the file store or in a proxy"
            )
        yield chunk


def _follow(transport: Transport, url: str, part: Mapping[str, str]) -> Stream:
    """Open a link and follow its redirects, always without credentials."""
    for _ in range(_MAX_REDIRECTS):
        if not is_safe_to_call(url):
            raise SparkSdkError(
                f"the download link {redacted(url)} is not https; the runner does not follow it"
            )
        for secret in secrets_of(url):
            transport.masker.add(secret, announce=False)
        stream = transport.open(HttpRequest("GET", url, {**_HEADERS, **part}))
        target = stream.headers.get("Location")
        if not (300 <= stream.status < 400 and target):
            return stream
        stream.close()
        url = stream.absolute(target)
    fault = f"more than {_MAX_REDIRECTS} redirects, the last to {redacted(url)}"
    raise TransportError(fault, permanent=True)
