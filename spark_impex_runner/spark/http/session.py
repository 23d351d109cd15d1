"""Call the API of one tenant: credentials, request ids, rate limit, retries of reads, errors."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from spark_impex_runner.errors import (
    Interrupted,
    SentRequest,
    SparkError,
    SparkSdkError,
    TransportError,
    UsageError,
)
from spark_impex_runner.spark.failures import is_transient
from spark_impex_runner.spark.http.message import (
    ADDRESS_TODO,
    HttpRequest,
    platform_name,
    product,
)
from spark_impex_runner.spark.http.response import HttpResponse, api_error, describe_body
from spark_impex_runner.spark.http.retry import RetryPolicy, retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.spark.http.auth import Scheme
    from spark_impex_runner.spark.http.transport import Transport
    from spark_impex_runner.spark.tenant import TenantUrl

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a call: bytes, or an iterable with a length that can be iterated again."""

    content: bytes | Iterable[bytes]
    kind: str = "application/json"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One logical API request: its path as segments for ``TenantUrl.at``, and its body."""

    method: str
    path: tuple[str, ...]
    body: Body | None = None

    def __str__(self) -> str:
        return f"{self.method} {'/'.join(self.path)}"


class RateLimiter:
    """Spaces the requests of all threads evenly; ``per_second`` None means no limit."""

    def __init__(self, clock: Clock, per_second: float | None = None) -> None:
        if per_second is not None and per_second <= 0:
            raise UsageError(f"requests_per_second is {per_second:g}; it must be more than 0")
        self._clock = clock
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for this request's turn; raise ``Interrupted`` when the run is asked to stop."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        # An interrupted run still cancels its jobs, in a few seconds: those calls must not wait.
        if turn > now and not self._clock.stopping():
            self._clock.wait(turn - now)


class HttpClient:
    """Transport, clock, masker, rate limit and retry policy of one tenant's requests."""

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        clock: Clock,
        masker: Masker,
        limiter: RateLimiter,
        policy: RetryPolicy,
    ) -> None:
        self.clock = clock
        self.masker = masker
        self.limiter = limiter
        self.policy = policy
        self._open_transport = open_transport
        self._transport: Transport | None = None
        self._lock = threading.Lock()

    @property
    def transport(self) -> Transport:
        """The connections, opened for the first request.

        A plan sends none, and importing the HTTP library takes a sixth of a plan's time.
        """
        with self._lock:  # else two targets' first requests would open two pools
            if self._transport is None:
                self._transport = self._open_transport()
            return self._transport

    def close(self) -> None:
        """Close the connections, if any were opened."""
        if self._transport is not None:
            self._transport.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request as soon as the rate limit allows."""
        self.limiter.wait()
        return self.transport.send(request)


def request_token(
    http: HttpClient, url: TenantUrl, client_id: str, client_secret: str
) -> HttpResponse:
    """Request a token by client credentials (documented: they travel in the body).

    Retries only 5xx and connection errors: repeating a refused secret may lock the client.
    """
    action = f"asking {url.token_endpoint} for a token"
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    body = urlencode(form).encode()
    request = HttpRequest("POST", url.token_endpoint, headers, body, public_path=True)

    def once() -> HttpResponse:
        try:
            reply = http.send(request)
        except TransportError as error:
            raise error.at(action) from None
        except SparkSdkError as error:
            raise SparkSdkError(f"{action}: {error}") from None
        if reply.status > 499:
            raise api_error(reply, action, "", http.masker)
        return reply

    return retry(once, http.policy, http.clock)


@dataclass(frozen=True, slots=True)
class Origin:
    """The connection, ``FILE:LINE`` and setting name that a tenant's address comes from.

    ``sandbox`` is the folder of a sandbox that lives as long as the run, else empty.
    """

    connection: str = ""
    place: str = ""
    setting: str = "base_url"
    sandbox: str = ""

    def located(self, error: TransportError, call: str) -> TransportError:
        """Return the error with its call, or with the address's origin if no host was reached."""
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
    http: HttpClient = field(repr=False)
    scheme: Scheme = field(repr=False)
    origin: Origin = Origin()

    def get(self, *path: str, once: bool = False) -> HttpResponse:
        """Send a GET request; retry transient failures unless ``once``.

        Like all calls here it returns a 2xx reply with JSON or an empty body.

        Raises:
            SparkApiError: the tenant answered with another status.
            SparkSdkError: the body is no JSON, or too large.
            TransportError: there was no complete reply.
        """
        return self._call(ApiCall("GET", path), repeated=not once)

    def search(self, *path: str, body: Body, once: bool = False) -> HttpResponse:
        """Send a POST request that only reads, as the listings take it; retry as ``get`` does."""
        return self._call(ApiCall("POST", path, body), repeated=not once)

    def post(self, *path: str, body: Body) -> HttpResponse:
        """Send a POST request that creates something: once, and again only after a 401."""
        return self._call(ApiCall("POST", path, body))

    def patch(self, *path: str, body: Body) -> HttpResponse:
        """Send a PATCH request as ``post`` does."""
        return self._call(ApiCall("PATCH", path, body))

    def _call(self, call: ApiCall, *, repeated: bool = False) -> HttpResponse:
        # All attempts share one id, as in the official SDK, so that a log of the server groups
        # them.
        once = partial(self._send_once, call, str(uuid.uuid4()))
        if not repeated:
            return once()
        return retry(once, self.http.policy, self.http.clock, transient=_is_transient)

    def _send_once(self, call: ApiCall, request_id: str) -> HttpResponse:
        try:
            reply = self._send(call, request_id)
        except TransportError as error:
            raise self.origin.located(error, self._describe(call)) from None
        except SparkSdkError as error:  # the reply is larger than limits.REPLY
            located = SparkSdkError(f"{self._describe(call)}: {error}")
            located.sent = error.sent
            raise located from None
        return self._accept(call, reply, request_id)

    def _send(self, call: ApiCall, request_id: str) -> HttpResponse:
        """Send once, and after a 401 once more with renewed credentials, if there are any."""
        credentials = _before_sending(self.scheme.headers)
        reply = self._exchange(call, request_id, credentials)
        if reply.status == 401 and _before_sending(lambda: self.scheme.renew(credentials)):
            reply = self._exchange(call, request_id, _before_sending(self.scheme.headers))
        return reply

    def _exchange(
        self, call: ApiCall, request_id: str, credentials: dict[str, str]
    ) -> HttpResponse:
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
        url = self.url.at(*call.path)
        request = HttpRequest(call.method, url, headers, content, public_path=True)
        text = content.decode() if isinstance(content, bytes) else ""
        shown = {name: value for name, value in headers.items() if name not in credentials}
        sent = SentRequest(call.method, request.url, shown, self.http.masker.mask(text))
        reply = replace(self.http.send(request), request=sent)
        base, status = self.url.base, reply.status
        _log.debug("%s on %s: HTTP %d (request id %s)", call, base, status, request_id)
        return reply

    def _accept(self, call: ApiCall, reply: HttpResponse, request_id: str) -> HttpResponse:
        if not reply.good:
            raise api_error(reply, self._describe(call), request_id, self.http.masker)
        if reply.data is None and reply.buffer.strip():
            raise SparkSdkError(
                f"{self._describe(call)}: HTTP {reply.status}, but the body is "
                f"{describe_body(reply)} instead of JSON (request id {request_id}); "
                "check base_url, a proxy or a login page may be in the way"
            )
        return reply

    def _describe(self, call: ApiCall) -> str:
        return f"{call} on {self.url.base}"


def _is_transient(error: SparkError) -> bool:
    """Return whether to retry a call; ``request_token`` has retried its own request already."""
    return is_transient(error) and (error.sent or isinstance(error, TransportError))


def _before_sending(work: Callable[[], T]) -> T:
    """Run what must precede a request; mark its errors as raised before anything was sent."""
    try:
        return work()
    except SparkError as error:
        error.sent = False
        raise
    except Interrupted as error:
        error.unanswered = False
        raise
