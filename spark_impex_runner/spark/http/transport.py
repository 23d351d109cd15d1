"""One HTTP exchange with a pooled connection: the only module that calls ``requests``.

What it guarantees for every exchange: no credentials but those of the caller's headers (never a
netrc entry, never a cookie), no redirect followed, TLS checked as the connection says and not as
an environment variable says, limits of time and size, an end soon after the run was asked to stop,
nothing sent after that but what ends something, and errors that hold no URL.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests
from urllib3 import exceptions as urllib3_errors

from spark_impex_runner.blocking import GRACE, LAST, Background
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted, TransportError, UsageError
from spark_impex_runner.masking import Masker, MaskingFilter
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.body import read_all, read_start
from spark_impex_runner.spark.http.connecting import (
    Adapter,
    ReachedHosts,
    broken_connection,
    connect_timed_out,
)
from spark_impex_runner.spark.http.exchange import Exchange, as_current
from spark_impex_runner.spark.http.proxies import proxies_of, proxy_host
from spark_impex_runner.spark.http.response import HttpResponse, json_or_none
from spark_impex_runner.spark.http.urls import redirected
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from typing_extensions import Self

_R = TypeVar("_R")
_FAILURES = (requests.RequestException, urllib3_errors.HTTPError, ValueError)

# More milliseconds than this, no socket takes.
_MAX_TIMEOUT = 2_000_000.0
_URLLIB3 = logging.getLogger("urllib3.connectionpool")
_POOL_SIZE = 32
# The pieces of a fast line, which brings so many bytes a second: a line that is slower hands on
# what has come, so that nothing of it is lost and an interrupt gets through.
CHUNK = 1 << 20
_FAST = 20e6
# The most that is read at once as it comes; a larger buffer costs more to make than it holds.
_READ_SIZE = 1 << 16


def product() -> str:
    """Return ``spark-impex-runner/VERSION``, as requests introduce themselves."""
    return f"spark-impex-runner/{__version__}"


def platform_name() -> str:
    """Return ``Python/VERSION``."""
    return f"Python/{platform.python_version()}"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request as it travels. ``body`` is bytes, or an iterable that knows its length."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes] | None = None


class Transport:
    """Pooled connections with one time limit and one TLS setting; safe to share by threads.

    ``timeout`` (seconds) bounds connecting, and the silence between bytes; a whole exchange takes
    at most ``limits.TOTAL_TIMES`` as long, and ends at the ``until`` block of ``clock``.
    ``verify`` is True, False or the path of a CA bundle. After a stop of ``clock`` requests under
    way have ``grace`` seconds, and those of its ``ending`` block ``last`` seconds.
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
        if timeout <= 0:
            raise UsageError(f"timeout is {timeout:g} s; it must be more than 0")
        if isinstance(verify, str) and not Path(verify).exists():
            raise UsageError(f"verify_tls names the CA bundle {verify}, which does not exist")
        self.fast = False  # whether the last body came quickly, and to its end
        self.clock = clock or Clock()
        self._timeout = min(timeout, _MAX_TIMEOUT)
        self._verify = verify
        # The part of a session that has the connections. The rest of one, which reads netrc files,
        # keeps cookies and follows redirects, would only have to be kept from it.
        self._pool = Adapter(pool_maxsize=_POOL_SIZE)
        self._hosts = ReachedHosts(self.clock.monotonic)
        self._agent = {"User-Agent": f"{product()} ({platform_name()})"}
        # urllib3 logs the path of every request, and a download's path is a capability.
        self.masker = masker
        masking = MaskingFilter(masker)
        _URLLIB3.addFilter(masking)
        self._unmask = weakref.finalize(self, _URLLIB3.removeFilter, masking)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole reply, whatever its status; raises ``TransportError``.

        Raises ``SparkSdkError`` for a reply of 2xx that is larger than ``limits.REPLY``; of the
        body of any other reply only a beginning is read. After a stop it raises ``Interrupted``.
        """

        def work(exchange: Exchange) -> HttpResponse:
            with self._open(request, exchange) as stream:
                body = stream.read()
                return HttpResponse(stream.status, stream.headers, json_or_none(body), body)

        return self._bounded(work, url=request.url)

    def open(self, request: HttpRequest) -> Stream:
        """Send and return the reply with its body still on the wire."""
        return self._bounded(lambda exchange: self._open(request, exchange), url=request.url)

    def read(self, stream: Stream) -> bytes:
        """Return the beginning of a reply's body, or all of one of 2xx, within the time limit."""

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
        """Do network work on a thread that is left behind at its time limit, or after a stop.

        The first connection to the host of ``url`` has a limit of its own.
        """
        clock, exchange = self.clock, Exchange(self.clock)
        exchange.check()
        grace = self.last if clock.is_ending() else self.grace
        total = self._timeout * limits.TOTAL_TIMES
        deadline = time.monotonic() + clock.left()

        def run() -> _R:
            with as_current(exchange):
                return work(exchange)

        def abandon() -> None:
            exchange.abandon()
            on_abandon()

        def end() -> float:
            answered_by = exchange.last_progress + total
            connected_by = self._hosts.connect_deadline(url, exchange)
            return min(answered_by, connected_by, deadline, clock.stopped_at + grace)

        if end() > time.monotonic():
            call = Background(run, abandon, _close_late)
            if call.wait(end, clock):
                return call.result()
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
        """Read from a connection; the library's errors hold whole URLs, so they end here."""
        try:
            return work()
        except _FAILURES as error:
            self.fast = False
            raise broken_connection(error, self._timeout) from None

    def _open(self, request: HttpRequest, exchange: Exchange) -> Stream:
        self._hosts.begin()
        proxy = ""
        try:
            proxies = proxies_of(request.url)
            proxy = proxy_host(request.url, proxies)
            reply = self._send(request, proxies, exchange)
        except _FAILURES as error:
            self.fast = False
            raise self._hosts.failure(error, request.url, proxy, self._timeout) from None
        self._hosts.reached(request.url)
        return Stream(reply, self)

    def _send(
        self, request: HttpRequest, proxies: Mapping[str, str], exchange: Exchange
    ) -> requests.Response:
        prepared = requests.PreparedRequest()
        headers = {**self._agent, **request.headers}
        prepared.prepare(request.method, request.url, headers, data=request.body)
        if request.body is not None and not isinstance(request.body, bytes):
            # Its length is in the headers by now.
            prepared.body = exchange.tracked(request.body)  # type: ignore[assignment]
        return self._pool.send(
            prepared,
            stream=True,
            timeout=self._timeout,
            verify=self._verify,
            proxies=proxies,
        )


class Stream:
    """A reply whose body is still on the wire; a context manager that frees the connection.

    ``fast`` tells how ``chunks`` begins: as the line was with the body before.
    """

    def __init__(self, reply: requests.Response, transport: Transport) -> None:
        self.fast = transport.fast
        self.status = reply.status_code
        self.headers: Mapping[str, str] = reply.headers
        self.url = reply.url
        self._reply = reply
        self._transport = transport
        self._received = 0
        self._slow = False

    def body(self) -> bytes:
        """Return the body as ``Transport.send`` does, within the time limit."""
        return self._transport.read(self)

    def read(self) -> bytes:
        """Read the body, however long that takes."""
        raw, headers = self._reply.raw, self.headers
        if 200 <= self.status < 300:
            return self._transport.translated_errors(lambda: read_all(raw, headers, limits.REPLY))
        return self._transport.translated_errors(
            lambda: read_start(raw, headers, limits.ERROR_BODY)[0]
        )

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the body as it was sent; raises ``TransportError`` where it is cut off.

        What comes slowly is yielded in the pieces in which it comes. A line that is ``fast`` is
        read in pieces of 1 MiB, which takes less of the processor; a cut loses such a piece.
        Raises ``Interrupted`` as soon as the run is to stop.
        """
        fast = self.fast
        with self._aborting():
            while True:
                began, left = time.monotonic(), CHUNK
                while left and (piece := self._next(left, fast)):
                    yield piece
                    left -= len(piece)
                if left == CHUNK:
                    return
                fast = CHUNK - left > _FAST * (time.monotonic() - began)
                self._transport.fast = fast

    def absolute(self, location: str) -> str:
        """Return the URL that a redirect points to; raises ``TransportError`` for anything else."""
        try:
            return redirected(self.url, location)
        except ValueError:
            fault = "the reply redirects to something that is no URL"
            raise TransportError(fault, permanent=True) from None

    def abort(self) -> None:
        """End a read that waits in another thread; that thread then closes the stream."""
        with suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself
            self._reply.raw.shutdown()

    def close(self) -> None:
        """Give the connection back, or drop it where the body was not read to its end."""
        self._reply.close()

    def _next(self, left: int, fast: bool) -> bytes:
        """Return what comes next; a body that was cut short by us has no end."""
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
        """End a read that waits when the run is to stop, or when next to nothing comes."""
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
        raw = self._reply.raw
        if fast:
            return bytes(raw.read(left, decode_content=False))
        return bytes(raw.read1(min(left, _READ_SIZE), decode_content=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close_late(result: object) -> None:
    """Close a stream that nobody waits for any more."""
    if isinstance(result, Stream):
        result.close()
