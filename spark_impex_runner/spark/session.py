"""API calls of one tenant: credentials, request ids, pace, repeats of what is safe, errors."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from spark_impex_runner.errors import (
    Interrupted,
    SparkError,
    SparkSdkError,
    TransportError,
    UsageError,
)
from spark_impex_runner.spark.contact import ADDRESS_TODO
from spark_impex_runner.spark.reply import HttpResponse, api_error, describe_body
from spark_impex_runner.spark.retry import is_passing
from spark_impex_runner.spark.transport import Message, platform_name, product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.spark.auth import Scheme
    from spark_impex_runner.spark.retry import Patience
    from spark_impex_runner.spark.tenant import TenantUrl
    from spark_impex_runner.spark.transport import Transport

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Body:
    """What a call sends: bytes, or an iterable that knows its length and can begin anew."""

    content: bytes | Iterable[bytes]
    kind: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One logical API request: its path, as ``TenantUrl.at`` takes it, and its body."""

    method: str
    path: tuple[str, ...]
    body: Body | None = None

    def __str__(self) -> str:
        return f"{self.method} {'/'.join(self.path)}"


class Pace:
    """Spaces requests evenly, over all threads; ``per_second`` None means no limit."""

    def __init__(self, clock: Clock, per_second: float | None = None) -> None:
        if per_second is not None and per_second <= 0:
            raise UsageError(f"requests_per_second is {per_second:g}; it must be more than 0")
        self._clock = clock
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Wait for this request's turn; raises ``Interrupted`` when the run is asked to stop."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        # A run that stops still cancels its jobs: such last calls do not wait.
        if turn > now and not self._clock.stopping():
            self._clock.wait(turn - now)


@dataclass(frozen=True, slots=True)
class Wire:
    """How every request of a tenant leaves the process, whatever it carries."""

    transport: Transport
    patience: Patience
    pace: Pace
    masker: Masker

    @property
    def clock(self) -> Clock:
        """The clock that all waits go through."""
        return self.patience.clock

    def exchange(self, message: Message) -> HttpResponse:
        """Send one request when its turn has come."""
        self.pace.keep()
        return self.transport.exchange(message)


def ask_for_token(wire: Wire, url: TenantUrl, client_id: str, client_secret: str) -> HttpResponse:
    """Do the client-credentials exchange (documented: credentials travel in the body).

    Only 5xx and connection errors are repeated: a refused secret must not be sent again.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    message = Message("POST", url.token_endpoint, headers, urlencode(form).encode())
    try:
        return wire.patience.repeat(
            lambda: wire.exchange(message), lambda reply: reply.status > 499
        )
    except TransportError as error:
        raise error.at(f"asking {url.token_endpoint} for a token") from None
    except SparkSdkError as error:
        raise SparkSdkError(f"asking {url.token_endpoint} for a token: {error}") from None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tenant's address was set: the connection, ``FILE:LINE``, and the setting's name."""

    connection: str = ""
    place: str = ""
    setting: str = "base_url"

    def located(self, error: TransportError, call: str) -> TransportError:
        """Return an error of a call with its place; an unreached host has that of its address."""
        if error.reached:
            return error.at(call)
        name = f"connections.{self.connection}" if self.connection else call
        fault = f"{name}: {error.fault}{f' ({self.place})' if self.place else ''}"
        todo = f"check {self.setting}" if error.todo == ADDRESS_TODO else error.todo
        return error.changed(fault, todo)


@dataclass(frozen=True, slots=True)
class Session:
    """The authenticated API of one tenant; safe to share by threads.

    Every URL is built from the tenant's own address, so credentials cannot reach another host.
    """

    url: TenantUrl
    wire: Wire = field(repr=False)
    scheme: Scheme = field(repr=False)
    origin: Origin = Origin()

    def get(self, *path: str, once: bool = False) -> HttpResponse:
        """Read something; repeated while the failure may pass, unless ``once``.

        Like all calls here it returns a 2xx reply with JSON (or with an empty body) and raises
        ``SparkApiError``, ``SparkSdkError`` or ``TransportError`` otherwise.
        """
        return self._call(Call("GET", path), repeated=not once)

    def search(self, *path: str, body: Body, once: bool = False) -> HttpResponse:
        """Read something by a POST, as the listings are asked; repeated as ``get`` is."""
        return self._call(Call("POST", path, body), repeated=not once)

    def post(self, *path: str, body: Body) -> HttpResponse:
        """Start something; sent once, and a second time only after a refused token."""
        return self._call(Call("POST", path, body))

    def patch(self, *path: str, body: Body) -> HttpResponse:
        """Change something; sent as ``post`` sends."""
        return self._call(Call("PATCH", path, body))

    def _call(self, call: Call, *, repeated: bool = False) -> HttpResponse:
        request_id = str(uuid.uuid4())
        try:
            if repeated:
                reply = self.wire.patience.repeat(lambda: self._send(call, request_id), is_passing)
            else:
                reply = self._send(call, request_id)
        except TransportError as error:
            raise self.origin.located(error, self._place(call)) from None
        except SparkSdkError as error:  # of a reply that is larger than it may be
            located = SparkSdkError(f"{self._place(call)}: {error}")
            located.sent = error.sent
            raise located from None
        return self._accept(call, reply, request_id)

    def _send(self, call: Call, request_id: str) -> HttpResponse:
        """Send once; a 401 is answered with newer credentials, once, where there are any."""
        credentials = _before_sending(self.scheme.headers)
        reply = self._exchange(call, request_id, credentials)
        if reply.status == 401 and _before_sending(lambda: self.scheme.renew(credentials)):
            reply = self._exchange(call, request_id, _before_sending(self.scheme.headers))
        return reply

    def _exchange(self, call: Call, request_id: str, credentials: dict[str, str]) -> HttpResponse:
        headers = {
            "Accept": "application/json",
            "x-request-id": request_id,
            "x-spark-ua": f"agent={product()}; env={platform_name()}",
            "x-tenant-name": self.url.tenant,
            **credentials,
        }
        if call.body:
            headers["Content-Type"] = call.body.kind
        content = call.body.content if call.body else None
        reply = self.wire.exchange(Message(call.method, self.url.at(*call.path), headers, content))
        _log.debug("%s: HTTP %d (request id %s)", self._place(call), reply.status, request_id)
        return reply

    def _accept(self, call: Call, reply: HttpResponse, request_id: str) -> HttpResponse:
        if not reply.good:
            raise api_error(reply, self._place(call), request_id, self.wire.masker)
        if reply.data is None and reply.buffer.strip():
            raise SparkSdkError(
                f"{self._place(call)}: HTTP {reply.status}, but the body is "
                f"{describe_body(reply)} instead of JSON (request id {request_id}); "
                "check base_url, a proxy or a login page may be in the way"
            )
        return reply

    def _place(self, call: Call) -> str:
        return f"{call} on {self.url.base}"


def _before_sending(work: Callable[[], T]) -> T:
    """Do what a request needs first; where that fails, the request was not sent."""
    try:
        return work()
    except SparkError as error:
        error.sent = False
        raise
    except Interrupted as error:
        error.unanswered = False
        raise
