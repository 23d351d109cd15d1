"""Fault injection: scripted faults between the network and the emulated tenant.

A fault is written ``PLACE@WHICH=WHAT``, for example ``status@2=503``, ``create@1=swallow`` or
``download@1-3=cut:1000``. PLACE is the kind of request, WHICH counts the requests of that kind from
1 (``2``, ``1-3``, ``4-``, ``*``), WHAT is one of ``KINDS``, some with an argument after a colon.
"""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import ConnectionReset, Reply, json_reply, v4_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from spark_impex_runner.sandbox.http.messages import Handle, Request

PLACES: Mapping[str, tuple[str, str]] = {
    "token": ("POST", r"/auth/realms/.*"),
    "create": ("POST", r"/[^/]+/api/v4/export"),
    "describe": ("GET", r"/[^/]+/api/v4/export/status"),
    "status": ("GET", r"/[^/]+/api/v4/export/[^/]+/status"),
    "cancel": ("PATCH", r"/[^/]+/api/v4/export/[^/]+"),
    "import": ("POST", r"/[^/]+/api/v4/import"),
    "imports": ("GET", r"/[^/]+/api/v4/import/status"),
    "imported": ("GET", r"/[^/]+/api/v4/import/[^/]+/status"),
    "search": ("POST", r"/[^/]+/api/v3/services/search"),
    "versions": ("GET", r"/api/v1/product/[^/]+/engines/getversions/[^/]+"),
    "exists": ("GET", r"/[^/]+/api/v3/folders/[^/]+/services/[^/]+/exists"),
    "folder": ("POST", r"/api/v1/product/isproductexists/[^/]+"),
    "details": ("GET", r"/api/v1/product/[^/]+/engines/get/.+"),
    "folders": ("POST", r"/api/v1/product/list"),
    "transforms": ("POST", r"/[^/]+/api/v4/transform/list/[^/]+"),
    "transform": ("GET", r"/[^/]+/api/v4/transform/[^/]+/[^/]+"),
    "execute": ("POST", r"/[^/]+/api/v3/folders/[^/]+/services/[^/]+/execute"),
    "download": ("GET", r"/docstore/.*"),
}
_FORM = re.compile(r"(\w+)@(\*|\d+(?:-\d*)?)=([\w-]+)(?::(.+))?")
_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in.\n"
_PIECE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault; ``str`` returns the text that ``parse_fault`` reads."""

    place: str
    first: int
    last: int | None
    what: str
    argument: str = ""

    def matches(self, place: str, number: int) -> bool:
        """Return whether the fault applies to the ``number``-th request of a kind."""
        within = self.first <= number and (self.last is None or number <= self.last)
        return self.place == place and within

    def __str__(self) -> str:
        if self.last is None:
            which = "*" if self.first == 1 else f"{self.first}-"
        else:
            which = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.place}@{which}={self.what}{':' if self.argument else ''}{self.argument}"


def parse_fault(text: str) -> Fault:
    """Parse ``PLACE@WHICH=WHAT``. Raises ValueError that lists what is allowed."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"fault {text!r} is not PLACE@WHICH=WHAT, such as status@2=503")
    place, which, what, argument = found.groups(default="")
    if place not in PLACES:
        raise ValueError(f"fault {text!r}: {place!r} is not one of {', '.join(PLACES)}")
    if not re.fullmatch(r"[2-5]\d\d", what) and what not in KINDS:
        raise ValueError(
            f"fault {text!r}: {what!r} is not an HTTP status or one of {', '.join(KINDS)}"
        )
    first, _, last = ("1", "-", "") if which == "*" else which.partition("-")
    ending = (int(last) if last else None) if _ or which == "*" else int(first)
    if ending is not None and not 1 <= int(first) <= ending:
        raise ValueError(f"fault {text!r}: {which!r} counts requests from 1")
    return Fault(place, int(first), ending, what, argument)


class FaultInjector:
    """Injects faults into the replies of both servers; ``hits`` counts each fault's requests.

    ``pause`` waits between the pieces of a slow body.
    """

    def __init__(
        self, faults: Iterable[Fault], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.hits: Counter[str] = Counter()
        self.pause = pause
        self.closed = threading.Event()
        self._faults = tuple(faults)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def met(self) -> Counter[str]:
        """The former name of ``hits``."""
        warnings.warn("met is now hits", DeprecationWarning, stacklevel=2)
        return self.hits

    def wrap(self, handle: Handle) -> Handle:
        """Return a handle that answers like ``handle``, except for requests with a fault."""

        def answer(request: Request) -> Reply:
            fault = self._fault_for(request)
            if fault is None:
                return handle(request)
            kind = KINDS.get(fault.what, _status)
            return kind(FaultedRequest(request, handle, fault, self))

        return answer

    def close(self) -> None:
        """End every request that hangs."""
        self.closed.set()

    def _fault_for(self, request: Request) -> Fault | None:
        """Count a request, and return the first fault that applies to it."""
        place = next((name for name, form in PLACES.items() if _fits(request, form)), "")
        with self._lock:
            # Requests of all threads share one count, under the lock: a script says which request.
            self._counts[place] += 1
            number = self._counts[place]
            fault = next((fault for fault in self._faults if fault.matches(place, number)), None)
            if fault:
                self.hits[str(fault)] += 1
            return fault


def _fits(request: Request, form: tuple[str, str]) -> bool:
    method, path = form
    return request.method == method and re.fullmatch(path, request.path) is not None


@dataclass(frozen=True, slots=True)
class FaultedRequest:
    """A request to which a fault applies."""

    request: Request
    handle: Handle
    fault: Fault
    injector: FaultInjector

    def real_reply(self) -> Reply:
        """Return the reply without the fault."""
        return self.handle(self.request)

    def real_body(self) -> bytes:
        """Return the body of the reply without the fault."""
        return b"".join(self.real_reply().chunks)

    def without(self, *headers: str, **changed: str) -> Request:
        """Return the request with some headers removed and others changed."""
        kept = {k: v for k, v in self.request.headers.items() if k not in headers}
        new = {name.replace("_", "-"): value for name, value in changed.items()}
        return replace(self.request, headers=kept | new)


def _status(faulted: FaultedRequest) -> Reply:
    """Answer an HTTP status; the argument adds ``retry=SECONDS``, ``date=SECONDS`` or ``html``."""
    status, (name, _, value) = int(faulted.fault.what), faulted.fault.argument.partition("=")
    if name == "html":
        return Reply(status, (_PAGE,), len(_PAGE), {"Content-Type": "text/html"})
    code = {"type": "application_error", "code": "WEATHER", "message": f"scripted {status}"}
    reply = json_reply(code, status)
    if name == "date":
        when = datetime.now(timezone.utc) + timedelta(seconds=float(value))
        value = format_datetime(when, usegmt=True)
    return replace(reply, headers={**reply.headers, "Retry-After": value}) if value else reply


def _invalid(_: FaultedRequest) -> Reply:
    """Answer a permanent error, which the v4 API reports with HTTP 500 (documented)."""
    return v4_error(500, "INVALID_REQUEST", "scripted permanent error").reply


def _reset(_: FaultedRequest) -> Reply:
    """Reset the connection before anything is done."""
    raise ConnectionReset


def _swallow(faulted: FaultedRequest) -> Reply:
    """Execute the request, then reset the connection without a reply."""
    faulted.real_reply()
    raise ConnectionReset


def _hang(faulted: FaultedRequest) -> Reply:
    """Send nothing until the client or the sandbox closes the connection."""
    faulted.injector.closed.wait()
    raise ConnectionReset


def _cut(faulted: FaultedRequest) -> Reply:
    """End the body after so many bytes."""
    reply = faulted.real_reply()
    return replace(reply, chunks=_first(reply.chunks, int(faulted.fault.argument or 1000)))


def _short(faulted: FaultedRequest) -> Reply:
    """Announce and send fewer bytes: a package that was truncated before."""
    reply = faulted.real_reply()
    length = int(faulted.fault.argument or reply.length // 2)
    return replace(reply, chunks=_first(reply.chunks, length), length=length)


def _corrupt(faulted: FaultedRequest) -> Reply:
    """Flip a byte in the middle; the length stays right."""
    reply = faulted.real_reply()
    return replace(reply, chunks=_flipped(reply.chunks, reply.length // 2))


def _html(_: FaultedRequest) -> Reply:
    """Answer 200 with a web page."""
    return Reply(200, (_PAGE,), len(_PAGE), {"Content-Type": "text/html"})


def _empty(_: FaultedRequest) -> Reply:
    """Answer 200 with nothing."""
    return Reply(200, (), 0)


def _text(_: FaultedRequest) -> Reply:
    """Answer 200 with something that is not JSON."""
    return Reply(200, (b"all is well",), 11, {"Content-Type": "text/plain"})


def _large(faulted: FaultedRequest) -> Reply:
    """Answer 200 with JSON of so many bytes, by default 300 million."""
    # Blanks are valid JSON around a value: only a limit of the client stops it from reading all.
    left, piece = int(faulted.fault.argument or 300_000_000), b" " * (1 << 16)
    chunks = (piece for _ in range(left >> 16))
    return Reply(200, chunks, (left >> 16) << 16, {"Content-Type": "application/json"})


def _coding(faulted: FaultedRequest) -> Reply:
    """Answer with a ``Content-Encoding`` that does not exist, by default ``binary``."""
    reply = faulted.real_reply()
    coding = {"Content-Encoding": faulted.fault.argument or "binary"}
    return replace(reply, headers={**reply.headers, **coding})


def _redirect(faulted: FaultedRequest) -> Reply:
    """Answer 302 to the same address."""
    host = faulted.request.headers.get("host", "")
    return Reply(302, (), 0, {"Location": f"http://{host}{faulted.request.path}"})


def _expired(faulted: FaultedRequest) -> Reply:
    """Answer like an expired link: 401, 403, 404 or 410, by default 403."""
    status = int(faulted.fault.argument or 403)
    return v4_error(status, "LINK_EXPIRED", "the link has run out").reply


def _token_expired(_: FaultedRequest) -> Reply:
    """Answer like to an expired token (documented)."""
    return json_reply({"errorCode": "INVALID_TOKEN", "status": "Error"}, 401)


def _busy(faulted: FaultedRequest) -> Reply:
    """Refuse a job as if another one were running: 400, 409, 429 or 500, by default 409."""
    status = int(faulted.fault.argument or 409)
    message = "another export job is in progress; the limit is 1"
    return v4_error(status, "EXPORT_JOB_LIMIT_REACHED", message).reply


def _forget(_: FaultedRequest) -> Reply:
    """Answer like to an unknown job (documented for imports)."""
    return v4_error(500, "INVALID_JOB_ID", "Please Provide valid job id").reply


def _word(faulted: FaultedRequest) -> Reply:
    """Answer an unknown status, with no outputs yet."""
    return _changed(faulted, status=faulted.fault.argument or "archiving", outputs=None)


def _null_lists(faulted: FaultedRequest) -> Reply:
    """Answer a status whose lists are null."""
    return _changed(faulted, outputs={"files": None, "services": None, "service_versions": None})


def _slow(faulted: FaultedRequest) -> Reply:
    """Limit the rate in bytes a second."""
    reply = faulted.real_reply()
    size = max(int(int(faulted.fault.argument or 1_000_000) * _PIECE_SECONDS), 1)
    return replace(reply, chunks=_paused(reply.chunks, size, faulted.injector))


def _no_ranges(faulted: FaultedRequest) -> Reply:
    """Ignore the range and send the whole file."""
    return faulted.handle(faulted.without("range", "if-range"))


def _new_etag(faulted: FaultedRequest) -> Reply:
    """Answer as if the file had changed since the first request."""
    return faulted.handle(faulted.without(if_range='"another"'))


KINDS: Mapping[str, Callable[[FaultedRequest], Reply]] = {
    "invalid": _invalid,
    "reset": _reset,
    "swallow": _swallow,
    "hang": _hang,
    "cut": _cut,
    "short": _short,
    "corrupt": _corrupt,
    "html": _html,
    "empty": _empty,
    "text": _text,
    "large": _large,
    "coding": _coding,
    "redirect": _redirect,
    "expired": _expired,
    "token-expired": _token_expired,
    "busy": _busy,
    "forget": _forget,
    "word": _word,
    "null-lists": _null_lists,
    "slow": _slow,
    "no-ranges": _no_ranges,
    "new-etag": _new_etag,
}


def _changed(faulted: FaultedRequest, **changes: Any) -> Reply:
    data = json.loads(faulted.real_body())
    return json_reply({**data, **changes})


def _first(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    for chunk in chunks:
        if length <= 0:
            return
        yield chunk[:length]
        length -= len(chunk)


def _flipped(chunks: Iterable[bytes], at: int) -> Iterator[bytes]:
    begin = 0
    for chunk in chunks:
        if begin <= at < begin + len(chunk):
            place = at - begin
            yield chunk[:place] + bytes([chunk[place] ^ 0xFF]) + chunk[place + 1 :]
        else:
            yield chunk
        begin += len(chunk)


def _paused(chunks: Iterable[bytes], size: int, injector: FaultInjector) -> Iterator[bytes]:
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            injector.pause(_PIECE_SECONDS)
            yield chunk[begin : begin + size]
