"""URLs that a tenant sends: taken apart, followed, and shown without what is secret in them."""

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
    """Return the job id, from either argument; raises ``UsageError`` where neither has one.

    Nothing else of a status URL is used: credentials go to the tenant's own address only.
    """
    if job_id:
        return job_id
    match = _STATUS_PATH.search(split(url or "").path)
    if match is None:
        raise UsageError("which job? give job_id, or url as the status_url of a job")
    return unquote(match["id"])


def secrets_of(url: str) -> Iterator[str]:
    """Yield the parts of a download link that must not be shown.

    Seen in a genuine log: the path segment after ``tokens`` is a capability. Any other long
    segment, any query, and what stands in it under a telling name or is long, are taken for one,
    too, as the tenant may use another file store. Short values such as ``r`` are no secrets: to
    mask them would make every text unreadable.
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
    """Return what a message may say of a link: its host and its file name."""
    parts = split(url)
    host = parts.netloc.rpartition("@")[2]
    last = parts.path.rpartition("/")[2]
    return f"{host}/..." if last in set(secrets_of(url)) else f"{host}/.../{last}"


def redirected(url: str, location: str) -> str:
    """Return the URL that a ``Location`` header of a reply for ``url`` means, in ASCII.

    ``http.client`` reads each byte of a header as one character. Servers write names in UTF-8 or
    Latin-1, quoted or not; quoting the bytes as they came asks for the path that the server means.
    Raises ``ValueError`` where it is no URL.
    """
    raw = location.encode("latin-1", "replace").strip()
    if any(byte < 0x20 or byte == 0x7F for byte in raw):
        raise ValueError("a Location with control characters")
    head, found, tail = raw.partition(b"//")
    if found and head.lower() in {b"", b"http:", b"https:"}:  # the name of a host is not quoted
        host = re.split(rb"[/?#]", tail, maxsplit=1)[0]
        tail = tail[len(host) :]
        text = f"{head.decode()}//{host.decode()}{_quoted(tail)}"
    else:
        text = _quoted(raw)
    return urldefrag(urljoin(url, text)).url


def _quoted(raw: bytes) -> str:
    """Quote what may not stand in a URL; what is quoted already stays."""
    return _LONE_PERCENT.sub("%25", quote(raw, safe="!#$%&'()*+,/:;=?@[]~"))


def split(url: str) -> SplitResult:
    """Take a link apart; what is no URL has no parts."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")
