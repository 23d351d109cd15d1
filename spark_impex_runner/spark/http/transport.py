"""Exchange one HTTP request over a pooled connection: the only module that calls ``requests``.

Guarantees for every exchange: no credentials but those in the caller's headers (no netrc entry, no
cookie), no redirect followed, TLS verified as the connection says whatever the environment says,
limits of time and size, an end soon after the run is asked to stop, afterwards no request but those
that end something, and errors without URLs.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import Timeout
from urllib3 import exceptions as urllib3_errors

from spark_impex_runner.blocking import GRACE, LAST
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted, SparkError, TransportError
from spark_impex_runner.masking import Masker, MaskingFilter
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.body import read_all, read_start
from spark_impex_runner.spark.http.calls import UNRECORDED, CallRecord
from spark_impex_runner.spark.http.connecting import (
    Adapter,
    ReachedHosts,
    broken_connection,
    connect_timed_out,
)
from spark_impex_runner.spark.http.exchange import Exchange
from spark_impex_runner.spark.http.message import (
    CHUNK,
    HttpRequest,
    check_settings,
    platform_name,
    product,
)
from spark_impex_runner.spark.http.prepared import PreparedRequest, Routes
from spark_impex_runner.spark.http.response import HttpResponse, json_or_none
from spark_impex_runner.spark.http.urls import redirected

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from typing_extensions import Self
    from urllib3 import BaseHTTPResponse

_R = TypeVar("_R")
_FAILURES = (requests.RequestException, urllib3_errors.HTTPError, ValueError)

# The system call for socket timeouts takes milliseconds in 32 bits.
_MAX_TIMEOUT = 2_000_000.0
_URLLIB3 = logging.getLogger("urllib3.connectionpool")
_POOL_SIZE = 32
# A connection of at least `_FAST` bytes a second is read in pieces of `CHUNK` bytes, a slower one
# as bytes arrive, so that a cut loses none of them and an interrupt is noticed at once.
_FAST = 20e6
# Allocating a larger buffer costs more time than the bytes that usually wait in the socket.
_READ_SIZE = 1 << 16


class Transport:
    """Pooled connections with one time limit and one TLS setting; safe to share by threads.

    ``timeout`` (seconds) limits connecting and the time between two bytes; a whole exchange takes
    at most ``limits.TOTAL_TIMES`` as long, and ends at the ``until`` block of ``clock``.
    ``verify`` is True, False or the path of a CA bundle. After a stop of ``clock`` requests in
    progress have ``grace`` seconds, and those of its ``ending`` block ``last`` seconds.
    """

    grace = GRACE
    last = LAST
    slow_seconds = limits.SLOW_SECONDS

    def __init__(
        self,
        masker: Masker,
        *,
        timeout: float = 60.0,
        verify: bool | str = True,
        clock: Clock | None = None,
    ) -> None:
        check_settings(timeout, verify)
        self.fast = False  # the last body arrived fast and complete
        self.clock = clock or Clock()
        self._timeout = min(timeout, _MAX_TIMEOUT)
        self._verify = verify
        # The adapter alone, without a `requests.Session`: that would read netrc files, keep cookies
        # and follow redirects.
        self._pool = Adapter(pool_maxsize=_POOL_SIZE)
        self._routes = Routes()
        self._limits: Any = Timeout(connect=self._timeout, read=self._timeout)
        self._hosts = ReachedHosts(self.clock.monotonic)
        self._agent = {"User-Agent": f"{product()} ({platform_name()})"}
        # urllib3 logs the path of every request, and that of a download link is a secret.
        self.masker = masker
        masking = MaskingFilter(masker)
        _URLLIB3.addFilter(masking)
        # Filters are global: without this, each transport would leave one behind.
        self._unmask = weakref.finalize(self, _URLLIB3.removeFilter, masking)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the whole reply, whatever its status.

        The body of a reply outside 2xx is cut at ``limits.ERROR_BODY`` bytes.

        Raises:
            TransportError: there was no complete reply.
            SparkSdkError: a reply of 2xx is larger than ``limits.REPLY`` bytes.
            Interrupted: the run was asked to stop.
        """

        def work(exchange: Exchange) -> HttpResponse:
            with self._open(request, exchange) as stream:
                call.status = stream.status
                body = stream.read()
                return HttpResponse(stream.status, stream.headers, json_or_none(body), body)

        with CallRecord(request, self.masker) as call:
            return self._bounded(work, url=request.url)

    def open(self, request: HttpRequest) -> Stream:
        """Send a request and return the reply with its body still to be read."""
        call = CallRecord(request, self.masker)
        with call.ended_by_errors():
            stream = self._bounded(lambda exchange: self._open(request, exchange), url=request.url)
        call.status, stream.call = stream.status, call
        return stream

    def read(self, stream: Stream) -> bytes:
        """Return the body of a stream as ``send`` does, within the time limit."""

        def work(exchange: Exchange) -> bytes:
            exchange.sent = True
            return stream.read()

        return self._bounded(work, stream.abort)

    def _bounded(
        self,
        work: Callable[[Exchange], _R],
        on_abandon: Callable[[], None] = lambda: None,
        url: str = "",
    ) -> _R:
        """Run ``work``, and abandon it at a time limit or after a stop.

        The first connection to the host of ``url`` has a limit of its own.
        """
        clock = self.clock
        grace = self.last if clock.is_ending() else self.grace
        total = self._timeout * limits.TOTAL_TIMES
        deadline = time.monotonic() + clock.left()

        def end(exchange: Exchange) -> float:
            answered_by = exchange.last_progress + total
            connected_by = self._hosts.connect_deadline(url, exchange)
            return min(answered_by, connected_by, deadline, clock.stopped_at + grace)

        exchange = Exchange(clock, end, on_abandon)
        exchange.check()
        try:
            if exchange.end() > time.monotonic():
                return exchange.run(work, _close_late)
        except (SparkError, Interrupted):
            if not exchange.abandoned:
                raise
        if time.monotonic() >= clock.stopped_at + grace:
            raise Interrupted(clock.signum, unanswered=exchange.sent)
        if time.monotonic() >= self._hosts.connect_deadline(url, exchange):
            raise connect_timed_out(url)
        is_late = deadline < exchange.last_progress + total
        limit = "before the deadline" if is_late else f"within {total:g} s"
        raise TransportError(f"no complete answer {limit}", sent=exchange.sent)

    def close(self) -> None:
        """Close every pooled connection; no exchange may follow."""
        self._pool.close()
        self._unmask()

    def translated_errors(self, work: Callable[[], _R]) -> _R:
        """Run ``work``; replace the library's errors, which hold whole URLs with their secrets."""
        try:
            return work()
        except _FAILURES as error:
            self.fast = False
            raise broken_connection(error, self._timeout) from None

    def _open(self, request: HttpRequest, exchange: Exchange) -> Stream:
        self._hosts.begin()
        proxy = ""
        try:
            route = self._routes.to(request.url, exchange)
            proxy = route.host.proxy
            reply = self._send(PreparedRequest(request, route, self._agent), exchange)
        except _FAILURES as error:
            self.fast = False
            raise self._hosts.failure(error, request.url, proxy, self._timeout) from None
        self._hosts.reached(request.url)
        return Stream(reply, route.url, self, exchange)

    def _send(self, prepared: PreparedRequest, exchange: Exchange) -> BaseHTTPResponse:
        if prepared.body is not None and not isinstance(prepared.body, bytes):
            # Its length is in the headers already.
            prepared.body = exchange.tracked(prepared.body)  # type: ignore[assignment,arg-type]
        return self._pool.send(  # type: ignore[return-value] # see Adapter.build_response
            prepared,
            stream=True,
            timeout=self._limits,
            verify=self._verify,
            proxies=prepared.route.host.proxies,
        )


class Stream:
    """A reply whose body is still to be read; a context manager that frees the connection.

    ``fast`` is the initial reading mode of ``chunks``, taken over from the previous body.
    """

    def __init__(
        self, reply: BaseHTTPResponse, url: str, transport: Transport, exchange: Exchange
    ) -> None:
        self.fast = transport.fast
        self.status = reply.status
        self.headers: Mapping[str, str] = CaseInsensitiveDict(reply.headers)
        self.url = url
        self._reply = reply
        self._transport = transport
        self._exchange = exchange
        self._received = 0
        self._slow = False
        self.call = UNRECORDED

    def body(self) -> bytes:
        """Return the body as ``Transport.send`` does, within the time limit."""
        return self._transport.read(self)

    def read(self) -> bytes:
        """Return the body, without a limit of time."""
        raw, headers = self._reply, self.headers
        if 200 <= self.status < 300:
            return self._transport.translated_errors(lambda: read_all(raw, headers, limits.REPLY))
        return self._transport.translated_errors(
            lambda: read_start(raw, headers, limits.ERROR_BODY)[0]
        )

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the body as it was sent, not decompressed.

        A slow connection yields bytes as they arrive; a ``fast`` one yields pieces of 1 MiB, which
        costs less processor time, and a cut loses such a piece.

        Raises:
            TransportError: the body is cut off, or less than ``limits.SLOW`` bytes arrive within
                ``slow_seconds``.
            Interrupted: the run was asked to stop.
        """
        fast = self.fast
        with self._aborting():
            while True:
                began, left = time.monotonic(), CHUNK
                while left and (piece := self._next(left, fast)):
                    yield piece
                    left -= len(piece)
                if left == CHUNK:
                    self.call.end()
                    return
                fast = CHUNK - left > _FAST * (time.monotonic() - began)
                self._transport.fast = fast

    def absolute(self, location: str) -> str:
        """Return the URL that a redirect points to; raise ``TransportError`` if it is none."""
        try:
            return redirected(self.url, location)
        except ValueError:
            fault = "the reply redirects to an invalid URL"
            raise TransportError(fault, permanent=True) from None

    def abort(self) -> None:
        """End a blocked read of another thread; that thread then closes the stream."""
        if self._reply.connection:  # else it has ended by itself
            self._exchange.shut()

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        self._reply.close()
        self._reply.release_conn()
        self.call.end()

    def _next(self, left: int, fast: bool) -> bytes:
        """Return the next piece; raise if ``abort`` ended the body, which looks like its end."""
        try:
            piece = self._transport.translated_errors(partial(self._read, left, fast))
        except TransportError:
            self._check()
            raise
        if not piece:
            self._check()
        self._received += len(piece)
        return piece

    def _check(self) -> None:
        self._transport.clock.check()
        if self._slow:
            seconds, least = self._transport.slow_seconds, limits.size(limits.SLOW)
            raise TransportError(f"less than {least} arrived in {seconds:g} s")

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Abort a blocked read when the run is asked to stop, or when the body stalls."""
        over = threading.Event()
        forget = self._transport.clock.on_stop(self.abort)
        watch = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            forget()

    def _watch(self, over: threading.Event) -> None:
        before = 0
        while not over.wait(self._transport.slow_seconds):
            if self._received - before < limits.SLOW:
                self._slow = True
                self.abort()
                return
            before = self._received

    def _read(self, left: int, fast: bool) -> bytes:
        raw = self._reply
        if fast:
            return bytes(raw.read(left, decode_content=False))
        return bytes(raw.read1(min(left, _READ_SIZE), decode_content=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.call.end(error)
        self.close()


def _close_late(result: object) -> None:
    """Close a stream that arrived after its caller gave up."""
    if isinstance(result, Stream):
        result.close()
