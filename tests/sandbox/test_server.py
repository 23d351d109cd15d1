"""The sandbox as a whole: two origins, one journal, a clean end."""

from __future__ import annotations

import socket
import tempfile
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_tenant_is_named_after_its_folder(root: Path) -> None:
    """The base URL ends with the folder's name unless another one is set."""
    with Sandbox(root) as sandbox, Sandbox(root, Settings(tenant="my tenant")) as other:
        assert sandbox.base_url.endswith("/acme")
        assert other.base_url.endswith("/my%20tenant")
        assert other.tenant == "my tenant"


def test_starting_twice_is_starting_once(root: Path) -> None:
    """``with Sandbox(...).start()`` binds one pair of ports, and closing twice is harmless."""
    with Sandbox(root).start() as sandbox:
        before = sandbox.base_url
        assert sandbox.start().base_url == before

    sandbox.close()


def test_another_tenant_is_not_served(call: Any) -> None:
    """Paths of other tenants, and other paths, are answered with 404 in JSON."""
    other = call("GET", f"{call.api}/other/api/v4/export/status")
    unknown = call("DELETE", "/api/v4/export")

    assert (other.status, unknown.status) == (404, 404)
    assert "DELETE /acme/api/v4/export" in unknown.json["message"]


def test_the_journal_holds_what_was_sent(call: Any) -> None:
    """Method, raw path, headers, body and answer of each request are there to look at."""
    call("POST", "/api/v4/exp%6Frt", {"a": 1}, {"X-Request-Id": "7"})

    (noted,) = call.sandbox.requests
    assert (noted.method, noted.path) == ("POST", "/acme/api/v4/exp%6Frt")
    assert noted.headers["x-request-id"] == "7"
    assert (noted.body, noted.status, noted.origin) == (b'{"a": 1}', 404, "api")


def test_the_journal_prints_no_credentials(call: Any) -> None:
    """A failed assertion about the journal does not spread tokens."""
    call("GET", "/api/v4/export/status")

    assert call.sandbox.token not in repr(call.sandbox.requests)


def test_the_journal_is_bounded(call: Any) -> None:
    """A sandbox that runs for days does not fill the memory."""
    assert call.sandbox.requests.maxlen == 1000


def test_one_connection_serves_many_requests(call: Any) -> None:
    """Connections stay open, also after a body that nobody read."""
    connection = HTTPConnection(urlsplit(call.api).netloc, timeout=10)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    connection.request("POST", "/acme/api/v4/import", b"x" * 1_000_000, kind)
    refused = connection.getresponse()
    refused.read()
    before = connection.sock
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()

    assert (refused.status, answer.status) == (401, 200)
    assert connection.sock is before
    connection.close()


def test_closing_breaks_open_connections(root: Path) -> None:
    """A client that keeps its connection does not keep the sandbox."""
    with Sandbox(root) as sandbox:
        address = urlsplit(sandbox.base_url)
        connection = socket.create_connection((str(address.hostname), int(address.port or 0)), 10)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")

    with connection:
        while connection.recv(1000):
            pass


def test_closing_removes_the_temporary_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages lie in one temporary directory, which goes with the sandbox."""
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(workplace))

    with Sandbox(root):
        assert len(list(workplace.iterdir())) == 1

    assert not list(workplace.iterdir())


def test_used_port_is_refused(call: Any, root: Path) -> None:
    """A second sandbox on the same port fails with an OSError; closing it is harmless."""
    port = urlsplit(call.api).port
    second = Sandbox(root, Settings(port=int(port or 0)))

    with pytest.raises(OSError, match=f"port {port} "):
        second.start()

    second.close()


def test_a_damaged_description_is_refused_at_once(root: Path) -> None:
    """A bad ``service.json`` is found before anything is served, and its path is told."""
    path = root / "motor" / "pricing" / "1.4.2" / "service.json"

    for text in ("{", "[]", '{"inputs": {}}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"1\.4\.2.service\.json"):
            Sandbox(root)


def test_an_oversized_body_is_refused(call: Any) -> None:
    """JSON bodies are held in memory, so they have a limit."""
    answer = call("POST", "/api/v4/export", b" " * (16 * 1024 * 1024 + 1))

    assert answer.status == 413


def test_sandboxes_do_not_share(start: Callable[..., Any]) -> None:
    """Jobs of one sandbox are unknown to another."""
    one, other = start(), start()
    job = one.export(inputs={"folders": ["motor"]})["id"]

    assert other("GET", f"/api/v4/export/{job}/status").status == 500
