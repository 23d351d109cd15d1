"""Servers that never come to an end: what waits for them does."""

from __future__ import annotations

import math
import socket
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted, SparkSdkError, TransportError
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.auth import ClientCredentials
from spark_impex_runner.spark.http.exchange import Exchange
from spark_impex_runner.spark.http.message import HttpRequest
from spark_impex_runner.spark.http.session import Body, HttpClient, Session, request_token
from spark_impex_runner.spark.http.transport import Transport
from spark_impex_runner.spark.tenant import TenantUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.masking import Masker

HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = HEAD + b"Content-Length: 100000\r\n\r\n"
LAST = HEAD + b"Connection: close\r\n\r\n"
GET = "GET"


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer each connection, once its request has come, on a thread of its own."""

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if connection.recv(65536):
                answer(connection)

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=server.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)


def endless(
    piece: bytes, start: bytes = b"", pause: float = 0.0
) -> Callable[[socket.socket], None]:
    """Return what sends the same piece again and again, until the client has gone."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            threading.Event().wait(pause)

    return answer


def silent(connection: socket.socket) -> None:
    """Send nothing until the client has disconnected."""
    connection.recv(1)


@pytest.fixture
def transport(masker: Masker) -> Iterator[Transport]:
    """Return a transport on a real clock whose limits are short."""
    made = Transport(masker, timeout=0.1, clock=Clock())
    made.grace, made.last = 0.05, 0.1
    yield made
    made.close()


SLOW = {
    "trickled head": endless(b"x", HEAD + b"X-Long: ", 0.02),
    "trickled body": endless(b"x", BODY, 0.02),
    "trickled last body": endless(b"x", LAST, 0.02),
    "endless 100 Continue": endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless trailers": endless(b"X: y\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
    "silence": silent,
}


@pytest.mark.parametrize("name", SLOW)
def test_exchange_ends_within_its_limit(transport: Transport, name: str) -> None:
    """Bytes that keep coming do not prolong an exchange."""
    with served(SLOW[name]) as url, pytest.raises(TransportError, match=r"no (complete )?answer"):
        transport.send(HttpRequest(GET, url, {}))


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"X-Y: z\r\n", HEAD),
        endless(b"x" * 9999, HEAD),
        endless(b"x" * 9999, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["headers", "a header", "the size of a chunk"],
)
def test_endless_head_is_refused(transport: Transport, answer: Any) -> None:
    """Headers and chunk sizes without an end are an error, and do not fill the memory."""
    with served(answer) as url, pytest.raises(TransportError, match="connection failed"):
        transport.send(HttpRequest(GET, url, {}))


def test_large_error_keeps_its_status(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an error's body a part is read; a good reply of that size is refused."""
    monkeypatch.setattr(limits, "ERROR_BODY", 1000)
    monkeypatch.setattr(limits, "REPLY", 1000)
    large = b"Content-Length: 9999999\r\n\r\n"
    with (
        served(endless(b"x" * 999, b"HTTP/1.1 503 Busy\r\n" + large)) as bad,
        served(endless(b"x" * 999, HEAD + large)) as good,
    ):
        reply = transport.send(HttpRequest(GET, bad, {}))
        with pytest.raises(SparkSdkError, match="larger than the limit of 0 KiB"):
            transport.send(HttpRequest(GET, good, {}))

    assert (reply.status, len(reply.buffer)) == (503, 1000)


def test_upload_may_take_longer(transport: Transport) -> None:
    """The limit counts from the last piece of a body, which may be many."""
    received = bytearray()

    def answer(connection: socket.socket) -> None:
        while len(received) < 5:
            received.extend(connection.recv(9))
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")

    class Slow:
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(5):
                threading.Event().wait(0.08)
                yield b"x"

        def __len__(self) -> int:
            return 5

    with served(answer) as url:
        assert transport.send(HttpRequest("POST", url, {}, Slow())).data == {}


def test_ended_exchange_shuts_no_other() -> None:
    """An exchange that ends just before its limit does not cut the next one on its connection."""
    ours, theirs = socket.socketpair()
    connection: Any = SimpleNamespace(sock=ours, exchange=None)
    first, second = (Exchange(Clock(), lambda _: math.inf) for _ in range(2))
    with ours, theirs:
        first.begin(connection)
        second.begin(connection)
        first.abandon()
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"

        second.abandon()
        assert ours.recv(1) == b""


def test_stop_leaves_silent_server(transport: Transport) -> None:
    """After the grace period the request is left, and it is known that it had been sent."""
    transport._timeout = 60

    def answer(connection: socket.socket) -> None:
        transport.clock.stop(15)
        silent(connection)

    with served(answer) as url, pytest.raises(Interrupted) as caught:
        transport.send(HttpRequest("POST", url, {}))

    assert (caught.value.exit_code, caught.value.unanswered) == (143, True)


def test_stop_ends_blocked_upload(transport: Transport) -> None:
    """A server that takes no more of a body is left, too, and so is its thread."""
    transport._timeout = 60
    over = threading.Event()

    def answer(_: socket.socket) -> None:
        transport.clock.stop(15)
        over.wait(20)

    with served(answer) as url, pytest.raises(Interrupted):
        transport.send(HttpRequest("POST", url, {}, bytes(1 << 25)))
    over.set()


def test_stop_accepts_pending_reply(transport: Transport) -> None:
    """A server that answers soon is heard: its reply may hold the id of a new job."""
    transport.grace = 60

    def answer(connection: socket.socket) -> None:
        transport.clock.stop(15)
        connection.sendall(HEAD + b'Content-Length: 8\r\n\r\n{"id":1}')

    with served(answer) as url:
        assert transport.send(HttpRequest("POST", url, {})).data == {"id": 1}


def test_nothing_is_sent_after_stop(transport: Transport, script: Any, reply: Any) -> None:
    """Only what ends something is sent, and only for a while."""
    server = script(reply())
    transport.last = 60
    transport.clock.stop(2)

    for method in ("GET", "POST"):
        with pytest.raises(Interrupted):
            transport.send(HttpRequest(method, server.url, {}))
    with transport.clock.ending():
        transport.send(HttpRequest("PATCH", server.url, {}))
        transport.last = 0
        with pytest.raises(Interrupted):
            transport.send(HttpRequest("PATCH", server.url, {}))

    assert [seen.method for seen in server.seen] == ["PATCH"]


@pytest.mark.parametrize("stops", [True, False], ids=["stop", "limit"])
def test_abandoned_request_is_never_sent(
    transport: Transport, script: Any, reply: Any, monkeypatch: Any, stops: bool
) -> None:
    """No request is sent to a host that is resolved after the caller gave up."""
    server, asked, found = script(reply()), threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **named: Any) -> Any:
        asked.set()
        found.wait(10)
        return look_up(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    if stops:
        threading.Thread(target=lambda: asked.wait(10) and transport.clock.stop(15)).start()

    with pytest.raises(Interrupted if stops else TransportError) as caught:
        transport.send(HttpRequest("POST", server.url, {}))
    found.set()
    for thread in threading.enumerate():
        if thread.name == "impex-helper":
            thread.join(0.05)

    assert not server.seen
    assert not getattr(caught.value, "unanswered", False)


def test_call_ends_at_deadline(masker: Masker) -> None:
    """A deadline ends an exchange before its own limit, and is not sent past."""
    clock = Clock()
    transport = Transport(masker, timeout=60, clock=clock)
    with served(silent) as url, clock.until(clock.monotonic() + 0.05):
        for _ in range(2):
            with pytest.raises(TransportError, match="before the deadline"):
                transport.send(HttpRequest(GET, url, {}))
    transport.close()


@pytest.mark.parametrize("head", [BODY, HEAD + b"\r\n"], ids=["length", "no length"])
def test_stop_ends_download(transport: Transport, head: bytes) -> None:
    """A blocked read ends at once; the received bytes do not count as a whole body."""
    transport._timeout = 60
    with (
        served(endless(b"", head + b"start", 0.05)) as url,
        transport.open(HttpRequest(GET, url, {})) as stream,
    ):
        chunks = stream.chunks()
        assert next(chunks) == b"start"
        transport.clock.stop(15)
        with pytest.raises(Interrupted):
            next(chunks)


@pytest.mark.parametrize("fast", [False, True])
def test_trickling_download_fails(transport: Transport, fast: bool) -> None:
    """A download that receives almost nothing for a while fails."""
    transport.slow_seconds, transport._timeout = 0.1, 60
    with (
        served(endless(b"x", BODY, 0.01)) as url,
        transport.open(HttpRequest(GET, url, {})) as stream,
    ):
        stream.fast = fast
        with pytest.raises(TransportError, match=r"less than 16 KiB arrived in 0\.1 s"):
            list(stream.chunks())


def test_stop_during_token_sends_nothing_more(
    http: HttpClient, script: Any, reply: Any, clock: Any
) -> None:
    """A token that comes after the signal is not used to start a job."""

    def token(_: Any) -> Any:
        clock.stop(15)
        return reply({"access_token": "abc", "expires_in": 60})

    server = script(token, reply({"id": "job"}))
    transport = Transport(http.masker, clock=clock)
    http = HttpClient(lambda: transport, clock, http.masker, http.limiter, http.policy)
    url = TenantUrl(server.url, "acme")
    scheme = ClientCredentials("x", lambda: request_token(http, url, "a", "b"), clock, http.masker)

    with pytest.raises(Interrupted):
        Session(url, http, scheme).post("api", "v4", "export", body=Body(b"{}"))

    assert len(server.seen) == 1
    transport.close()


def test_wait_for_token_ends_at_deadline(masker: Masker) -> None:
    """A thread that waits for the token of another one keeps its own deadline."""
    clock, asked, given = Clock(), threading.Event(), threading.Event()

    def ask() -> Any:
        asked.set()
        given.wait(10)
        raise TransportError("no token")

    scheme = ClientCredentials("https://x", ask, clock, masker)

    def first() -> None:
        with suppress(TransportError):
            scheme.headers()

    thread = threading.Thread(target=first)
    thread.start()
    asked.wait(10)
    with clock.until(clock.monotonic() + 0.02), pytest.raises(TransportError, match="deadline"):
        scheme.headers()
    given.set()
    thread.join()
