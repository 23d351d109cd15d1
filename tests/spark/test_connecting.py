"""Connections that cannot be made: what is reported, whether it was sent, and how long it takes."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.connecting import FIRST_CONTACT
from spark_impex_runner.spark.http.message import HttpRequest
from spark_impex_runner.spark.http.retry import RetryPolicy, retry
from spark_impex_runner.spark.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.masking import Masker

pytestmark = pytest.mark.usefixtures("unknown_names")
TENANT = "https://tenant.invalid/secret"


@pytest.fixture
def transport(masker: Masker, clock: Any) -> Iterator[Transport]:
    """Return a transport on the test's clock."""
    made = Transport(masker, timeout=5, clock=clock)
    yield made
    made.close()


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Return a function that starts a server which answers anything with these bytes."""
    servers: list[socket.socket] = []

    def serve(server: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    def start(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        threading.Thread(target=serve, args=(server, answer), daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def failure(transport: Transport, url: str) -> TransportError:
    """Return the error of a request that must fail."""
    with pytest.raises(TransportError) as caught:
        transport.send(HttpRequest("POST", url, {}, b"{}"))
    return caught.value


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (TENANT, "cannot resolve tenant.invalid"),
        ("http://127.0.0.1:9/secret", "cannot connect to 127.0.0.1:9 (Connection refused)"),
    ],
)
def test_an_unreachable_host_becomes_permanent(
    transport: Transport, clock: Any, url: str, fault: str
) -> None:
    """A host that was never reached is retried for ten seconds; nothing of a request was sent."""
    first = failure(transport, url)
    clock.wait(FIRST_CONTACT)
    second = failure(transport, url)

    assert (first.fault, first.sent, first.permanent) == (fault, False, False)
    assert (second.fault, second.sent, second.permanent) == (fault, False, True)


def test_slow_resolution_is_not_retried(transport: Transport, clock: Any, monkeypatch: Any) -> None:
    """A name server that takes its time before it gives up uses up the time of a first contact."""

    def slow(*_: Any, **__: Any) -> Any:
        clock.wait(FIRST_CONTACT)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    assert failure(transport, TENANT).permanent


def test_a_first_connection_has_a_limit(
    transport: Transport, answering: Any, monkeypatch: Any
) -> None:
    """A name server or a host that is silent does not use up the connection's whole timeout."""
    monkeypatch.setattr(limits, "CONNECT", 0.05)
    host = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    release, resolve = threading.Event(), socket.getaddrinfo

    def silent(*arguments: Any, **named: Any) -> Any:
        release.wait()
        return resolve(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    error = failure(transport, f"http://{host}/x")
    release.set()

    assert error.fault == f"no connection to {host} within 0.05 s"
    assert (error.sent, error.permanent, error.reached) == (False, True, False)


def test_only_a_first_connection_has_the_limit(
    transport: Transport, answering: Any, monkeypatch: Any
) -> None:
    """A host that was reached before has an outage, which lasts as long as the timeout."""
    url = f"http://{answering(b'HTTP/1.1 200 OK' + bytes([13, 10]) * 2)}/x"
    assert transport.send(HttpRequest("GET", url, {})).status == 200
    monkeypatch.setattr(limits, "CONNECT", 0.0)

    assert transport.send(HttpRequest("GET", url, {})).status == 200


def test_outage_after_contact_is_transient(
    transport: Transport, script: Any, reply: Any, clock: Any
) -> None:
    """The transport never gives up a host that replied in this run."""
    server = script(reply(headers={"Connection": "close"}))
    transport.send(HttpRequest("GET", server.url, {}))
    server.__exit__()
    first = failure(transport, server.url)
    clock.wait(1000)
    second = failure(transport, server.url)

    assert not first.permanent
    assert (second.sent, second.permanent) == (False, False)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        ("407 Proxy Authentication Required", True),
        ("403 Forbidden", True),
        ("302 Found", True),
        ("400 Bad Request", True),
        ("429 Too Many Requests", False),
        ("503 Service Unavailable", False),
    ],
)
def test_a_proxys_refusal_is_reported(
    transport: Transport, answering: Any, monkeypatch: Any, status: str, permanent: bool
) -> None:
    """The message has the proxy's status, and not its password; no retry helps against most."""
    proxy = answering(f"HTTP/1.1 {status}\r\n\r\n".encode())
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{proxy}")

    error = failure(transport, TENANT)

    assert (error.sent, error.permanent) == (False, permanent)
    assert str(error) == (
        f"the proxy {proxy} refuses to connect to tenant.invalid (HTTP {status}); "
        "check HTTPS_PROXY and NO_PROXY"
    )


@pytest.mark.parametrize(
    "proxy",
    ["http://", "http://[bad", "ftp://127.0.0.1:9", "127.0.0.1:port", "  ", "socks5://127.0.0.1:9"],
)
def test_a_malformed_proxy_fails_at_once(
    transport: Transport, monkeypatch: Any, proxy: str
) -> None:
    """An address that no proxy can have is permanent from the first request on."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    error = failure(transport, TENANT)

    assert (error.sent, error.permanent) == (False, True)
    assert "the proxy of the environment cannot be used" in str(error)
    assert "check HTTPS_PROXY" in str(error)


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 407 a\x1b[2Jb" + b"c" * 300 + b"\r\n\r\n"]
)
def test_unusual_proxy_is_named(
    transport: Transport, answering: Any, monkeypatch: Any, answer: bytes
) -> None:
    """Nothing was sent, and the error is one short printable line."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{answering(answer)}")

    error = failure(transport, TENANT)

    assert not error.sent
    assert "the proxy 127.0.0.1:" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize("url", ["https://a..b/x", "https://[bad/x", "https://127.0.0.1:99999/x"])
def test_an_invalid_address_fails_at_once(transport: Transport, url: str) -> None:
    """An address that no host can have is permanent from the first request on."""
    error = failure(transport, url)

    assert (error.sent, error.permanent) == (False, True)
    assert error.fault == "the address is not a valid URL"


def test_a_failed_handshake_sends_nothing(transport: Transport, answering: Any) -> None:
    """A server without TLS never gets the request."""
    error = failure(transport, f"https://{answering(b'HTTP/1.1 400 Bad Request')}/x")

    assert not error.sent
    assert "TLS failed" in str(error)


def test_a_broken_connection_may_have_sent(transport: Transport, answering: Any) -> None:
    """A server that hangs up without a reply may have read the request."""
    error = failure(transport, f"http://{answering(b'')}/x")

    assert (error.sent, error.permanent) == (True, False)


def test_retries_end_with_a_permanent_failure(transport: Transport, clock: Any) -> None:
    """Neither an API call nor a download waits half a minute for a host that does not exist."""
    policy = RetryPolicy(draw=lambda: 1.0)

    def once() -> Any:
        return transport.send(HttpRequest("GET", TENANT, {}))

    with pytest.raises(TransportError, match="cannot resolve"):
        retry(once, policy, clock, progress=lambda: 0)
    with pytest.raises(TransportError, match="cannot resolve"):
        retry(once, policy, clock)

    assert clock.waits == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
