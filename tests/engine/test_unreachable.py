"""A tenant that cannot be reached: the run ends at once, names the cause, and assumes no job."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unknown_names")
TARGET = "- name: a\n  folders: [life]"
HEAD = "version: 1\nconnections:\n  sit:\n"


@pytest.fixture
def refusing_proxy() -> Iterator[str]:
    """Serve one proxy that asks for credentials."""
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        pool.submit(refuse, server)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def start(folder: Path, clock: Any, address: str, targets: str, **options: Any) -> Any:
    """Run targets on a tenant at an address that is no sandbox's."""
    path = folder / "manifest.yaml"
    auth = "    auth: {token: '${env:TOKEN}'}\n"
    path.write_text(f"{HEAD}    base_url: '{address}'\n{auth}targets:\n{targets}\n")
    return run_manifest(path, RunOptions(**options), clock=clock)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://tenant.invalid/acme", "cannot resolve tenant.invalid"),
        ("http://127.0.0.1:9/acme", "cannot connect to 127.0.0.1:9 (Connection refused)"),
    ],
)
def test_unreachable_tenant_fails_fast(
    run: Any, clock: Any, monkeypatch: Any, address: str, fault: str
) -> None:
    """Two targets fail within half a minute, with the connection, its line and what to check."""
    monkeypatch.setenv("TOKEN", "given-token")

    result = start(run.folder, clock, address, f"{TARGET}\n- name: b\n  folders: [life]")

    place = f"{run.folder / 'manifest.yaml'}:4"
    assert {each.error for each in result.results} == {
        f"connections.sit: {fault} ({place}); check base_url"
    }
    assert result.exit_code == 4
    assert clock.monotonic() < 30


def test_unreachable_tenant_leaves_no_attempt(
    run: Any, serve: Any, clock: Any, monkeypatch: Any, only: Any
) -> None:
    """Once the address is corrected, no run mentions a job of the failed one."""
    monkeypatch.setenv("TOKEN", "given-token")
    start(run.folder, clock, "https://tenant.invalid/acme", TARGET)

    result = run(serve(), TARGET)

    assert (result.exit_code, only(result).warnings) == (0, ())


def test_proxy_refusal_fails_fast(
    run: Any, clock: Any, monkeypatch: Any, only: Any, refusing_proxy: str
) -> None:
    """The proxy's status is in the error, and no second request is sent."""
    monkeypatch.setenv("TOKEN", "given-token")
    monkeypatch.setenv("HTTPS_PROXY", refusing_proxy)

    result = start(run.folder, clock, "https://tenant.invalid/acme", TARGET)

    assert "refuses to connect to tenant.invalid (HTTP 407 Proxy" in only(result).error
    assert clock.waits == []


def test_lost_job_is_found_later(run: Any, serve: Any, monkeypatch: Any, only: Any) -> None:
    """An intent whose create call may have arrived stays open, and its job is found later."""
    sandbox = serve("create@1=swallow", "describe@2-3=403", job_seconds=1)
    connect, gone = socket.socket.connect, {"network": True}

    def refused(self: socket.socket, address: Any) -> None:
        if gone["network"]:
            raise ConnectionRefusedError(111, "Connection refused")
        connect(self, address)

    first = run(sandbox, TARGET)
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", refused)
        second = run(sandbox, TARGET)
    third = run(sandbox, TARGET)

    assert "403" in only(first).error
    assert "cannot connect to 127.0.0.1" in only(second).error
    assert (only(third).outcome.value, sandbox.jobs_created) == ("succeeded", 1)


@pytest.mark.parametrize("token", ["token@*=reset", "token@*=503", "token@*=html"])
def test_failed_token_request(
    run: Any, serve: Any, monkeypatch: Any, only: Any, token: str
) -> None:
    """Without a token no job can have been created."""
    sandbox = serve(token)
    monkeypatch.setenv("ID", sandbox.client_id)
    monkeypatch.setenv("SECRET", sandbox.client_secret)
    path = run.folder / "manifest.yaml"
    auth = "{oauth: {client_id: '${env:ID}', client_secret: '${env:SECRET}'}}"
    target = "  - {name: a, folders: [life], polling: {deadline: 60s}}"
    path.write_text(
        f"{HEAD}    base_url: '{sandbox.base_url}'\n    auth: {auth}\ntargets:\n{target}\n"
    )
    failed = run_manifest(path, clock=run.clock)
    sandbox.faults._faults = ()
    path.write_text(path.read_text().replace("[life]", "[health]"))

    result = run_manifest(path, clock=run.clock)

    assert only(failed).outcome.value == "failed"
    assert only(result).warnings == ()
