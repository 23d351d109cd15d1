"""One reply of a tenant: its value, and the error that it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.errors import (
    ApiErrorCause,
    ErrorBody,
    ErrorReply,
    SentRequest,
    SparkApiError,
)
from spark_impex_runner.spark.http.urls import split
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.masking import Masker

_COMPRESSIONS = frozenset(
    {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz"}
)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
# A date in `Retry-After` more than a day away means that a clock is wrong.
_MAX_DISTANCE = 86_400.0
_LONG_WAIT = 30.0
# A year; a server that asks for more has made a mistake, and `timedelta` overflows on some.
_MAX_WAIT = 366 * 86_400.0
_TODO = {
    400: "check the request",
    401: "check the credentials; a bearer token may have expired",
    403: "the credentials lack a permission for this; ask the tenant's administrator",
    404: "check the names, and that the credentials may see them",
    429: "lower requests_per_second",
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A reply with the attributes of the official SDK.

    ``status`` is the HTTP status, ``data`` the JSON of an API reply, ``buffer`` the bytes of a
    body. A download that was streamed to disk has ``path`` and an empty buffer. ``headers`` ignores
    case. ``request`` is what an API call sent, without credentials. ``repr`` shows only status and
    path, since job data contain download links.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    data: Any = field(default=None, repr=False)
    buffer: bytes = field(default=b"", repr=False)
    path: Path | None = None
    request: SentRequest | None = field(default=None, repr=False, compare=False)

    @property
    def good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def json_or_none(body: bytes) -> Any:
    """Return the JSON of a body, None for anything else; its Content-Type is often wrong."""
    try:
        return fields.parse(body)
    except ValueError:
        return None


def compression(headers: Mapping[str, str]) -> str:
    """Return the compressions that ``Content-Encoding`` names, an empty text if none.

    Servers also write ``binary``, ``utf-8`` and the like there, which compress nothing.
    """
    codings = re.split(r"[\s,;]+", headers.get("Content-Encoding", "").lower())
    return ", ".join(each for each in codings if each in _COMPRESSIONS)


def api_error(
    reply: HttpResponse, action: str, request_id: str, masker: Masker, todo: str | None = None
) -> SparkApiError:
    """Return the error for a reply outside 2xx; ``action`` is what was tried, and where.

    ``todo`` is advice that replaces the usual one for the status.
    """
    reply_error = read_error(reply, request_id, masker)
    text = ": ".join(part for part in (reply_error.code, reply_error.details) if part)
    message = f"{action}: HTTP {reply_error.status} {text}".rstrip()
    trace = f"request id {request_id}" if request_id else ""
    wait = reply_error.retry_after or 0.0
    wait_note = f"the server asks to wait {wait:.0f} s" if wait >= _LONG_WAIT else ""
    notes = ", ".join(part for part in (trace, wait_note) if part)
    if todo is None:
        todo = "check base_url" if reply.status < 400 else _TODO.get(reply.status, "")
        if reply.status == 403 and not reply_error.code:
            todo = "a proxy may refuse the request, or the credentials lack a permission"
    tail = f"{f' ({notes})' if notes else ''}{'; ' if todo else ''}{todo}"
    return SparkApiError.when(f"{message}{tail}", reply_error)


def read_error(reply: HttpResponse, request_id: str, masker: Masker) -> ErrorReply:
    """Read an error body of any of the three API families, or HTML, or nothing.

    Documented: v4 ``{type, code, message}``, v3 ``{error: {message}}``, gateway ``{errorCode}``.
    """
    data = reply.data if isinstance(reply.data, Mapping) else {}
    inner = data.get("error")
    inner = inner if isinstance(inner, Mapping) else {}
    message = data.get("message") or data.get("error_description")
    code = data.get("code") or data.get("errorCode") or inner.get("message")
    kind = data.get("type") or inner.get("error_type")

    def clean(value: Any) -> str:
        return one_line(masker.mask(value)) if isinstance(value, str) else ""

    return ErrorReply(
        status=reply.status,
        code=clean(code or data.get("error")),
        type=clean(kind),
        details=clean(message) or clean(_describe_unusual(reply)),
        request_id=request_id,
        retry_after=retry_after(reply.headers, datetime.now(timezone.utc)),
        cause=_cause(reply, masker),
    )


def _cause(reply: HttpResponse, masker: Masker) -> ApiErrorCause | None:
    """Return both sides of a failed API call; None for another one, whose URL may be a secret."""
    if reply.request is None:
        return None
    text = masker.mask(reply.buffer.decode("utf-8", "replace"))
    return ApiErrorCause(reply.request, ErrorBody(reply.headers, text, text.encode()))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, in either of its forms, else None.

    A date counts from the ``Date`` of the same reply, since both are of the server's clock, or from
    ``now`` if that is absent or implausible. Without the standard header ``x-retry-after`` counts
    (seen in the source of the official TypeScript SDK).
    """
    text = (headers.get("Retry-After") or headers.get("x-retry-after") or "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), _MAX_WAIT)
    when = _http_date(text)
    for base in (server_time(headers), now):
        if when and base and abs(wait := (when - base).total_seconds()) <= _MAX_DISTANCE:
            return max(0.0, wait)
    return None


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """Return the reply's time by the server's clock, None if it has no ``Date``."""
    return _http_date(headers.get("Date", ""))


def _http_date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
        # A date with the zone `-0000` is parsed without any.
        return when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _describe_unusual(reply: HttpResponse) -> str:
    """Describe a body without an error message."""
    if 300 <= reply.status < 400:
        host = split(reply.headers.get("Location", "")).netloc.rpartition("@")[2]
        return f"a redirect to {host or 'another path'}"
    if reply.data is not None or not reply.buffer:
        return ""
    return f"the reply is {describe_body(reply)}"


def describe_body(reply: HttpResponse) -> str:
    """Return what kind of body came in place of JSON."""
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
    if reply.buffer.lstrip()[:1] == b"<":
        return "an HTML page"
    return f"of the type '{kind}'" if kind else "no JSON"
