"""A store that does not reply keeps no command from ending soon after a signal."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A run exits 4.9 s after a signal, with whatever it has printed until then.
SOON = 4.6


class Relay:
    """Passes all bytes on to a server, until it has to be silent."""

    def __init__(self, port: int) -> None:
        self.is_silent = False
        self.asked = threading.Event()
        self._port = port
        self._links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._links += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.asked.set()
                if not self.is_silent:
                    sink.sendall(data)

    def close(self) -> None:
        """End all connections."""
        for each in (self._listener, *self._links):
            each.close()


@pytest.fixture
def relay(s3_state: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Put a relay before the store."""
    relay = Relay(int(s3_state.endpoint.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", relay.endpoint)
    yield relay
    relay.close()


@pytest.fixture
def manifest(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a tenant whose jobs do not end, and write a manifest for four of them."""
    (shell.folder / "acme/life/annuity/1.0.0").mkdir(parents=True, exist_ok=True)
    with Sandbox(shell.folder / "acme", Settings(job_seconds=3600, job_limit=4)) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        lines = "".join(f"  - {{name: {name}, folders: [life]}}\n" for name in "abcd")
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            f"targets:\n{lines}"
        )
        yield sandbox


def begin(start: Callable[..., Any], folder: Any, url: str, *words: str) -> Any:
    """Start a command."""
    arguments = [*words, "--state", url]
    code = "import sys; from spark_impex_runner.cli.main import main; "
    code += f"sys.argv = ['impex', *{arguments}]; main()"
    return start("-c", code, cwd=folder, env=dict(os.environ))


@pytest.mark.parametrize("words", [("run", "m.yaml"), ("status",), ("history",)])
def test_signal_while_a_command_starts(
    shell: Any,
    manifest: Sandbox,
    relay: Relay,
    s3_state: Any,
    start: Callable[..., Any],
    words: tuple[str, ...],
) -> None:
    """The main thread waits for the store just then."""
    relay.is_silent = True
    process = begin(start, shell.folder, s3_state.url, *words)
    assert relay.asked.wait(60)
    asked = time.monotonic()

    process.send_signal(signal.SIGINT)
    _, err = process.communicate()

    assert time.monotonic() - asked < SOON, err
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted by SIGINT"
    assert not manifest.jobs_created


def test_second_signal_exits_at_once(
    shell: Any, manifest: Sandbox, relay: Relay, s3_state: Any, start: Callable[..., Any]
) -> None:
    """Although the main thread waits for the store."""
    del manifest
    relay.is_silent = True
    process = begin(start, shell.folder, s3_state.url, "run", "m.yaml")
    assert relay.asked.wait(60)

    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert "press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert time.monotonic() - asked < 1.5  # before the request is abandoned
    assert process.returncode == 130


def test_signal_in_the_middle_of_a_run(
    shell: Any, manifest: Sandbox, relay: Relay, s3_state: Any, start: Callable[..., Any]
) -> None:
    """Its jobs are cancelled, and its summary and the command that resumes it are printed."""
    process = begin(start, shell.folder, s3_state.url, "run", "m.yaml", "--progress", "none")
    created = 0
    while created < 4:
        line = process.stderr.readline()
        assert line
        created += " created" in line
    relay.is_silent = True
    asked = time.monotonic()

    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert time.monotonic() - asked < SOON
    assert process.returncode == 130
    assert "cancelled  4 targets: interrupted by SIGINT" in out
    # One line of this run, and one of the look for jobs that still run.
    assert err.count("did not reply after the signal") <= 2
    assert "interrupted; to resume:\nimpex run m.yaml" in err, err
    assert [each.method for each in manifest.requests].count("PATCH") == 4
