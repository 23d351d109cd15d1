"""One exchange: what is never sent, and how a broken connection is reported."""

from __future__ import annotations

import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import TransportError, UsageError
from spark_impex_runner.spark.http.message import CHUNK, HttpRequest
from spark_impex_runner.spark.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.masking import Masker


@pytest.fixture
def transport(masker: Masker) -> Iterator[Transport]:
    """Return a transport that waits for any answer."""
    made = Transport(masker, timeout=30)
    yield made
    made.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a key and its certificate for the address of the loopback."""
    x509 = pytest.importorskip("cryptography.x509")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    coding = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(timezone.utc)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        coding.Encoding.PEM, coding.PrivateFormat.PKCS8, coding.NoEncryption()
    )
    file = tmp_path / "both.pem"
    file.write_bytes(private + made.public_bytes(coding.Encoding.PEM))
    return file


def test_netrc_and_cookies_never_travel(
    transport: Transport, script: Any, reply: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Neither the machine's netrc nor a cookie of an earlier reply is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = script(reply(headers={"Set-Cookie": "session=1; Path=/"}))

    for _ in range(2):
        transport.send(HttpRequest("GET", f"{server.url}/x", {}))

    assert not any({"authorization", "cookie"} & seen.headers.keys() for seen in server.seen)


def test_a_redirect_is_handed_back(transport: Transport, script: Any, reply: Any) -> None:
    """The caller sees the 302 and no second request is made."""
    server = script(reply(status=302, headers={"Location": "/elsewhere"}))

    assert transport.send(HttpRequest("GET", server.url, {})).status == 302
    assert len(server.seen) == 1


def test_loopback_is_never_reached_through_a_proxy(
    transport: Transport, script: Any, reply: Any, monkeypatch: Any
) -> None:
    """A proxy of the environment does not get the sandbox's requests."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server = script(reply({"ok": True}))

    assert transport.send(HttpRequest("GET", server.url, {})).data == {"ok": True}


def test_dead_proxy_is_named(transport: Transport, monkeypatch: Any) -> None:
    """Other hosts use the proxy, and its failure has advice."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    with pytest.raises(TransportError, match=r"cannot connect to the proxy 127\.0\.0\.1:9"):
        transport.send(HttpRequest("GET", "http://tenant.example/secret", {}))


def test_refused_connection_hides_url(transport: Transport) -> None:
    """The message has the operating system's text, not the path."""
    with pytest.raises(TransportError, match="Connection refused") as caught:
        transport.send(HttpRequest("GET", "http://127.0.0.1:9/secret?token=abc", {}))

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_failed_handshake_is_named(transport: Transport, script: Any, reply: Any) -> None:
    """A TLS failure has its own message, with the setting to check."""
    server = script(reply())

    with pytest.raises(TransportError, match=r"TLS failed \(.+verify_tls"):
        transport.send(HttpRequest("GET", server.url.replace("http:", "https:"), {}))


def test_silence_ends_after_the_timeout(masker: Masker) -> None:
    """A server that accepts and never replies times out."""
    transport = Transport(masker, timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        with pytest.raises(TransportError, match=r"no answer within 0\.05 s"):
            transport.send(HttpRequest("GET", url, {}))
    transport.close()


def test_stalled_body_times_out(masker: Masker) -> None:
    """Silence within a body is reported like silence before it."""
    transport = Transport(masker, timeout=0.05)

    def stall(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        pool.submit(stall, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(TransportError, match=r"no answer within 0\.05 s"):
            transport.send(HttpRequest("GET", url, {}))
    transport.close()


def test_cut_body_fails(transport: Transport, script: Any, reply: Any) -> None:
    """Fewer bytes than announced are never a whole reply."""
    server = script(reply(b'{"id": 1', length=50))

    with pytest.raises(TransportError, match="connection failed"):
        transport.send(HttpRequest("GET", server.url, {}))


def test_body_may_send_requests(transport: Transport, script: Any, reply: Any) -> None:
    """A body that downloads what it yields is sent whole, on a connection of its own."""
    source, server = script(reply(b"abc")), script(reply())

    class Downloaded:
        def __iter__(self) -> Iterator[bytes]:
            yield transport.send(HttpRequest("GET", source.url, {})).buffer

        def __len__(self) -> int:
            return 3

    for _ in range(2):
        assert transport.send(HttpRequest("POST", server.url, {}, Downloaded())).status == 200

    assert [seen.body for seen in server.seen] == [b"abc", b"abc"]


def test_body_is_same_fast_or_slow(transport: Transport, script: Any, reply: Any) -> None:
    """However it is read, a body comes whole; the connection is used again."""
    content = bytes(range(256)) * 10_000
    server = script(reply(content))

    for fast in (False, True):
        transport.fast = fast
        with transport.open(HttpRequest("GET", server.url, {})) as stream:
            chunks = list(stream.chunks())
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= CHUNK

    assert len(server.connections) == 1


def test_cut_connection_is_not_fast(transport: Transport, script: Any, reply: Any) -> None:
    """After a failure the next body is read in small pieces, so that a reset loses few bytes."""
    transport.fast = True
    server = script(reply(b"half", length=50))

    with (
        transport.open(HttpRequest("GET", server.url, {})) as stream,
        pytest.raises(TransportError, match="connection failed"),
    ):
        assert list(stream.chunks())

    assert not transport.fast


def test_abort_ends_blocked_read(masker: Masker) -> None:
    """``abort`` does not wait for the time limit."""
    transport = Transport(masker, timeout=30)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(10)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        opening = pool.submit(transport.open, HttpRequest("GET", url, {}))
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
            stream = opening.result(10)
            chunks = stream.chunks()
            assert next(chunks) == b"ab"
            reading = pool.submit(next, chunks)

            stream.abort()

            with pytest.raises(TransportError):
                reading.result(10)
            stream.close()
            stream.abort()
    transport.close()


def test_aborted_tls_yields_no_ciphertext(masker: Masker, certificate: Path) -> None:
    """What TLS has not decrypted when a read is aborted does not reach the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    transport = Transport(masker, timeout=30, verify=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(10)
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        opening = pool.submit(transport.open, HttpRequest("GET", url, {}))
        with context.wrap_socket(server.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\na")
            stream = opening.result(10)
            connection.sendall(b"a" * 30_000)

            stream.abort()

            received = bytearray()
            with stream, suppress(TransportError):
                for piece in stream.chunks():
                    received += piece
    assert received
    assert not received.strip(b"a")
    transport.close()


def test_chunked_body_is_read(masker: Masker) -> None:
    """A body without a length comes whole, and a cut is noticed."""
    transport = Transport(masker, timeout=5)
    # Without "close" the next request could be sent on the connection that is just ending.
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    def answer(server: socket.socket) -> None:
        for body in (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"3\r\nabc\r\n2\r\nd"):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head + body)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(10)
        pool.submit(answer, server)
        message = HttpRequest("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", {})
        with transport.open(message) as stream:
            assert b"".join(stream.chunks()) == b"abcde"
        with transport.open(message) as stream, pytest.raises(TransportError):
            list(stream.chunks())
    transport.close()


def test_the_http_library_logs_no_secret(
    transport: Transport, script: Any, reply: Any, masker: Masker, caplog: Any
) -> None:
    """urllib3 logs every path; a known secret in it is masked."""
    masker.add("capability")
    server = script(reply())

    with caplog.at_level(logging.DEBUG):
        transport.send(HttpRequest("GET", f"{server.url}/tokens/capability/x.zip", {}))

    assert "/tokens/***/x.zip" in caplog.text
    assert "capability" not in caplog.text


def test_settings_that_cannot_work_are_refused(masker: Masker, tmp_path: Path) -> None:
    """A time limit of zero and a missing CA bundle are found before anything is sent."""
    with pytest.raises(UsageError, match="timeout"):
        Transport(masker, timeout=0)
    with pytest.raises(UsageError, match="CA bundle"):
        Transport(masker, verify=str(tmp_path / "none.pem"))
