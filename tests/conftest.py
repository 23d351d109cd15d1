"""Guards for every test, and what many tests need: a fake clock and a served tenant."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).parent.parent / "examples"
_LOOPBACK = ("127.", "::1", "localhost")


class FakeClock(Clock):
    """A clock whose waits only move its hands; ``waits`` lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._now = 0.0
        self._lock = threading.Lock()
        self.at_wait: Callable[[float], None] = lambda _elapsed: None

    def now(self) -> datetime:
        """Return a time that starts at noon of a fixed day."""
        return datetime(2026, 1, 2, 12, tzinfo=timezone.utc) + timedelta(seconds=self._now)

    def monotonic(self) -> float:
        """Return the seconds waited so far."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Move the hands; ``at_wait`` may act at a moment of its choice."""
        with self._lock:
            self._now += seconds
            self.waits.append(seconds)
        self.at_wait(self._now)
        if self.stopping():
            raise Interrupted(self.signum)

    def restart(self) -> None:
        """Go on as the clock of the next process: nobody has asked that one to stop."""
        self._stopping = False
        self.signum = 0
        self.at_wait = lambda _elapsed: None


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that nobody has to wait for."""
    return FakeClock()


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server on loopback that keeps what it is sent.

    ``replies`` are the statuses and headers of the next replies, 204 afterwards; the status 0
    stands for a silence that lasts until the test ends.
    """

    url: str
    received: list[Received] = field(default_factory=list)
    replies: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve whatever notifiers send."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.received.append(Received(self.command, self.path, headers, body))
            status, extra = made.replies.pop(0) if made.replies else (204, {})
            if not status:
                made.ended.wait()
                return
            self.send_response(status)
            for name, value in {"Content-Length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def examples() -> Path:
    """Return the folder of the examples."""
    return EXAMPLES


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Take back what a command did to the package's logger."""
    logger = logging.getLogger("spark_impex_runner")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _guard(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No network but loopback, no real home, no real sleep, no settings of the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert str(address[0]).startswith(_LOOPBACK), f"network is off in tests: {address}"
        connect(self, address)

    def no_sleep(seconds: float) -> None:
        raise AssertionError(f"a test slept {seconds} s")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(time, "sleep", no_sleep)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))
    for name in list(os.environ):
        if name.startswith(("CSPARK_", "IMPEX_")) or name.upper() in {
            "NO_COLOR",
            "GITHUB_ACTIONS",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "REQUESTS_CA_BUNDLE",
        }:
            monkeypatch.delenv(name)
