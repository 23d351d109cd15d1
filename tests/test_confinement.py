"""Nothing leaves the machine while a rehearsal runs, whichever module tries."""

from __future__ import annotations

import _socket
import http.client
import multiprocessing
import os
import socket
import subprocess
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from spark_impex_runner.confinement import Caller, Confinement, RefusedError
from spark_impex_runner.sandbox.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# An address that is reserved for documentation: nothing answers there.
OUTSIDE = ("192.0.2.1", 80)


@pytest.fixture(autouse=True)
def _own_guard_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave connections to the confinement alone, not to the guard of the tests."""
    monkeypatch.setattr(socket.socket, "connect", _socket.socket.connect)


def send(family: int, address: Any) -> None:
    """Send a datagram by ``sendto``."""
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", address)


def send_message(address: Any) -> None:
    """Send a datagram by ``sendmsg``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendmsg([b"x"], [], 0, address)


def connect(family: int, address: Any) -> None:
    """Connect a stream."""
    with socket.socket(family) as stream:
        stream.settimeout(0.1)
        stream.connect(address)


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "connect to 192.0.2.1:80": lambda: socket.create_connection(OUTSIDE, 0.1),
    "connect to 192.0.2.1:53": lambda: send(socket.AF_INET, ("192.0.2.1", 53)),
    "connect to 192.0.2.1:54": lambda: send_message(("192.0.2.1", 54)),
    "connect to [2001:db8::1]:80": lambda: connect(socket.AF_INET6, ("2001:db8::1", 80)),
    "connect to 127.0.0.1:9": lambda: connect(socket.AF_INET, ("127.0.0.1", 9)),
    "connect to /run/docker.sock": lambda: connect(socket.AF_UNIX, "/run/docker.sock"),
    "look up tenant.example": lambda: socket.getaddrinfo("tenant.example", 443),
    "look up spark.example": lambda: socket.gethostbyname("spark.example"),
    "look up 192.0.2.1": lambda: socket.gethostbyaddr("192.0.2.1"),
    "look up 192.0.2.2": lambda: socket.getnameinfo(("192.0.2.2", 80), 0),
    "start the program curl": lambda: subprocess.run(["curl", "--secret"], check=False),
    "start the program true": lambda: os.system("true --secret"),  # noqa: S605
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_way_out_is_refused(what: str) -> None:
    """The caller gets an error of the system, and the attempt is recorded without arguments."""
    caller = Caller("step post", frozenset({"motor"}))

    with (
        Confinement([], lambda: caller) as confinement,
        pytest.raises(RefusedError, match="a rehearsal stays on this machine"),
    ):
        ATTEMPTS[what]()

    [attempt] = confinement.refused
    assert (attempt.what, attempt.by, attempt.targets) == (what, "step post", {"motor"})


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Send a body; return status and body of the reply."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc)
    with closing(connection):
        connection.request("POST", address.path, body, {"Content-Type": "text/plain"})
        reply = connection.getresponse()
        return reply.status, reply.read()


def test_own_servers_stay_reachable() -> None:
    """By their ports; they record what they get."""
    with Sink() as sink, Confinement([sink.port]) as confinement:
        url = sink.url("hook") + "/below"
        assert post(url, b"hello") == (200, b"{}")
        socket.getaddrinfo("localhost", sink.port)

    [sent] = sink.sent("hook")
    assert (sent.method, sent.content_type, sent.size, sent.start) == (
        "POST",
        "text/plain",
        5,
        b"hello",
    )
    assert confinement.refused == []


def test_spawned_process_is_refused() -> None:
    """Although multiprocessing raises no audit event when it starts a program."""
    process = multiprocessing.get_context("spawn").Process(target=print)

    with Confinement([]) as confinement, pytest.raises(RefusedError):
        process.start()

    assert confinement.refused


def test_threads_are_confined_too() -> None:
    """The whole process is, not only the thread that began it."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            socket.create_connection(OUTSIDE, 0.1)
        except OSError as error:
            errors.append(error)

    with Confinement([]) as confinement:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    assert isinstance(errors[0], RefusedError)
    assert [each.what for each in confinement.refused] == ["connect to 192.0.2.1:80"]


def test_confinement_ends_with_its_block(receiver: Any, tmp_path: Path) -> None:
    """Afterwards connections and programs work as before."""
    with Confinement([]):
        pass

    made = tmp_path / "made"
    assert post(f"{receiver.url}/hook", b"x") == (204, b"")
    os.waitpid(os.posix_spawn("/bin/touch", ["touch", str(made)], {}), 0)
    assert made.exists()
