"""One server: what a function replies goes out, also when the reply is a broken one."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from http.client import HTTPConnection, IncompleteRead
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.sandbox.http.messages import Reply, Request, json_reply
from spark_impex_runner.sandbox.http.server import HttpServer

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
