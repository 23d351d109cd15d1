"""One server: what a function replies goes out, also when the reply is a broken one."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from http.client import HTTPConnection, IncompleteRead
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.sandbox.http import server as server_module
from spark_impex_runner.sandbox.http.messages import Reply, Request, json_reply
from spark_impex_runner.sandbox.http.server import HttpServer, ServerLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.sandbox.http.messages import Handle

    Serve = Callable[[Handle], HTTPConnection]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a handle and connects to it."""
    server = HttpServer(0, lambda _request, _status: None)
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)

    def started(handle: Handle) -> HTTPConnection:
        server.start(handle)
        return connection

    yield started
    connection.close()
    server.close()


def test_short_reply_closes_connection(serve: Serve) -> None:
    """A client meets a cut transfer where fewer bytes follow than were announced."""
    connection = serve(lambda _: Reply(200, (b"half",), 8))

    connection.request("GET", "/")
    reply = connection.getresponse()

    with pytest.raises(IncompleteRead) as caught:
        reply.read()
    assert caught.value.partial == b"half"


def test_server_bug_is_reported(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    """A bug in a handle becomes a 500 that names it, and nothing is printed."""

    def handle(request: Request) -> Reply:
        return json_reply({"quotient": 1 // len(request.query)})

    connection = serve(handle)

    connection.request("GET", "/")
    fault = connection.getresponse()
    text = fault.read()
    connection.request("GET", "/?x")
    answer = connection.getresponse()
    answer.read()

    assert (fault.status, answer.status) == (500, 200)
    assert b"ZeroDivisionError" in text
    assert capfd.readouterr() == ("", "")


def test_lost_client_logs_nothing(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    """A body that breaks off ends the connection, and nothing is printed."""
    connection = serve(lambda _: json_reply({}))
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"ten bytes!")
    sock = connection.sock
    assert sock is not None

    sock.shutdown(1)

    assert sock.recv(100) == b""
    assert capfd.readouterr() == ("", "")


def test_an_origin_closes_without_a_start() -> None:
    """A port that was bound and never served is given back."""
    server = HttpServer(0, lambda _request, _status: None)

    server.close()

    HttpServer(server.server_port, lambda _request, _status: None).close()


def test_many_clients_connect_at_once() -> None:
    """A hundred connections are taken up although none of them is served yet."""
    server = HttpServer(0, lambda _request, _status: None)

    with ExitStack() as stack:
        stack.callback(server.close)
        for _ in range(100):
            address = ("127.0.0.1", server.server_port)
            stack.enter_context(socket.create_connection(address, timeout=10))


class Limited:
    """A server with limits, and a clock that goes on by ``step`` whenever it is read."""

    def __init__(self, stack: ExitStack, limits: ServerLimits, handle: Handle) -> None:
        self._stack = stack
        self.now = self.step = 0.0
        self._server = HttpServer(0, lambda *_: None, limits, self._time)
        self._server.start(handle)
        stack.callback(self._server.close)

    def _time(self) -> float:
        self.now += self.step
        return self.now

    def connect(self, sent: bytes = b"GET / HTTP/1.1\r\n\r\n") -> socket.socket:
        """Connect and send."""
        address = ("127.0.0.1", self._server.server_port)
        connection = self._stack.enter_context(socket.create_connection(address, 30))
        connection.sendall(sent)
        return connection


@pytest.fixture
def limited() -> Iterator[Callable[..., Limited]]:
    """Return a function that starts a server with limits."""
    with ExitStack() as stack:
        empty = lambda _: Reply(204, (), 0)  # noqa: E731
        yield lambda handle=empty, **limits: Limited(stack, ServerLimits(**limits), handle)


def status_of(connection: socket.socket) -> bytes:
    """Return the status of a reply without body; empty if the connection was closed."""
    reply = b""
    while not reply.endswith(b"\r\n\r\n"):
        try:
            piece = connection.recv(4096)
        except ConnectionResetError:
            piece = b""
        if not piece:
            break
        reply += piece
    return reply[9:12]


@pytest.mark.parametrize(
    "begun", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
def test_slow_request_is_ended(limited: Callable[..., Limited], begun: bytes) -> None:
    """However it dribbles: one that takes too long, headers or body, and one that never comes."""
    server = limited(seconds=30)
    connection = server.connect()
    assert status_of(connection) == b"204"
    server.now += 29
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert status_of(connection) == b"204"
    connection.sendall(begun)

    server.step = 10

    assert status_of(connection) == b""
    server.step = 0
    assert status_of(server.connect()) == b"204"


def test_idle_connection_makes_room(limited: Callable[..., Limited]) -> None:
    """For a new one over the limit, the longest idle one first; the others stay."""
    server = limited(connections=2)
    used, idle = server.connect(), server.connect()
    assert status_of(used) == status_of(idle) == b"204"
    used.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert status_of(used) == b"204"

    assert status_of(server.connect()) == b"204"

    assert status_of(idle) == b""
    used.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert status_of(used) == b"204"


def test_busy_server_refuses_connections(
    limited: Callable[..., Limited], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all threads are stuck, such as on a disk, no other one is started."""
    monkeypatch.setattr(server_module, "_SLOT_SECONDS", 0.0)
    entered, go = threading.Event(), threading.Event()

    def handle(request: Request) -> Reply:
        entered.set()
        assert request.query or go.wait(30)
        return Reply(204, (), 0)

    server = limited(handle, connections=1)
    stuck = server.connect()
    assert entered.wait(30)

    assert status_of(server.connect()) == b""

    go.set()
    assert status_of(stuck) == b""
    answers = iter(lambda: status_of(server.connect(b"GET /?x HTTP/1.1\r\n\r\n")), b"204")
    assert len(list(answers)) < 1000  # until the stuck thread has ended


def test_every_method_is_answered(limited: Callable[..., Limited]) -> None:
    """By the handle, so that strangers learn nothing; a reply to HEAD has no body."""
    server = limited(lambda request: Reply(401, (b"text",), 4, {"X-Method": request.method}))
    connection = server.connect(b"HEAD / HTTP/1.1\r\n\r\nBREW / HTTP/1.0\r\n\r\n")

    replies = connection.makefile("rb").read().split(b"\r\n\r\n")

    assert [each[9:12] for each in replies[:2]] == [b"401", b"401"]
    assert (b"X-Method: HEAD" in replies[0], b"X-Method: BREW" in replies[1]) == (True, True)
    assert replies[2:] == [b"text"]


def test_what_is_no_request_gets_a_status(limited: Callable[..., Limited]) -> None:
    """And no page that repeats it, or says what it was sent to."""
    reply = limited().connect(b"garbage\r\n\r\n").makefile("rb").read()

    assert reply.startswith(b"HTTP/1.1 400 ")
    assert reply.endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert b"garbage" not in reply
