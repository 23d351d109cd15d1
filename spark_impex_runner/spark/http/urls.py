"""Handle URLs that a tenant sends: split, follow, and redact them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urldefrag, urljoin, urlsplit

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET_LENGTH = 16
_SECRET_NAME = re.compile(r"sig|token|cred|secret|key", re.IGNORECASE)
_LONG_SEGMENT = 40
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STATUS_PATH = re.compile(r"/api/v4/(?:ex|im)port/(?P<id>[^/]+)/status/?$")


def job_id_of(job_id: str | None, url: str | None) -> str:
    """Return the job id, from either argument; raises ``UsageError`` if neither has one.

    The rest of a status URL is ignored: credentials are sent to the tenant's own address only.
    """
    if job_id:
        return job_id
    match = _STATUS_PATH.search(split(url or "").path)
    if match is None:
        raise UsageError("no job given; pass job_id, or url with the job's status_url")
    return unquote(match["id"])


def secrets_of(url: str) -> Iterator[str]:
    """Yield the secret parts of a download link.

    Seen in a published log: the path segment after ``tokens`` grants access. Other long segments,
    the query, and values in it that are long or have a name such as ``sig``, count as secrets,
    too, since the tenant may use another file store. Short values such as ``r`` do not: masking
    them would make every text unreadable.
    """
    parts = split(url)
    before = ""
    for segment in parts.path.split("/"):
        if segment and (before == "tokens" or len(segment) > _LONG_SEGMENT):
            yield segment
            yield unquote(segment)
        before = segment
    if parts.query:
        yield parts.query
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&")):
            if value and (len(value) >= _SECRET_LENGTH or _SECRET_NAME.search(name)):
                yield value


def redacted(url: str) -> str:
    """Return a link for a message: its host and its file name only."""
    parts = split(url)
    host = parts.netloc.rpartition("@")[2]
    last = parts.path.rpartition("/")[2]
    return f"{host}/..." if last in set(secrets_of(url)) else f"{host}/.../{last}"


def redirected(url: str, location: str) -> str:
    """Return the URL that a ``Location`` header of a reply for ``url`` means, in ASCII.

    ``http.client`` reads each byte of a header as one character. Servers write names in UTF-8 or
    Latin-1, quoted or not; quoting the bytes as they came asks for the path that the server means.
    Raises ``ValueError`` if it is no URL.
    """
    raw = location.encode("latin-1", "replace").strip()
    if any(byte < 0x20 or byte == 0x7F for byte in raw):
        raise ValueError("a Location with control characters")
    head, found, tail = raw.partition(b"//")
    if found and head.lower() in {b"", b"http:", b"https:"}:  # a host name must not be quoted
        host = re.split(rb"[/?#]", tail, maxsplit=1)[0]
        tail = tail[len(host) :]
        text = f"{head.decode()}//{host.decode()}{_quoted(tail)}"
    else:
        text = _quoted(raw)
    return urldefrag(urljoin(url, text)).url


def _quoted(raw: bytes) -> str:
    """Quote characters that a URL may not contain; keep what is quoted already."""
    return _LONE_PERCENT.sub("%25", quote(raw, safe="!#$%&'()*+,/:;=?@[]~"))


def origin_of(url: str) -> str:
    """Return scheme and host of a URL; parsing it would take a share of every status check."""
    return "/".join(url.split("/", 3)[:3])


def split(url: str) -> SplitResult:
    """Split a link; return empty parts if it is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")
