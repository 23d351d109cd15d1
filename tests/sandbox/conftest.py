"""Fixtures of the sandbox tests: a tiny tree, a clock that stands still, a plain HTTP client."""

from __future__ import annotations

import json
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Clock:
    """Seconds that pass only when a test says so: by ``tick``, or ``step`` at each reading."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        """Return the present moment."""
        self.now += self.step
        return self.now

    def tick(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds


class Answer:
    """A complete HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Caller:
    """Sends requests to a sandbox with its bearer token, one connection each."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.headers = {"Authorization": f"Bearer {sandbox.token}"}
        self.api = sandbox.base_url.rpartition("/")[0]

    def __call__(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request; a path is taken below the tenant's base URL."""
        parts = urlsplit(url if url.startswith("http") else self.sandbox.base_url + url)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = HTTPConnection(parts.netloc, timeout=10)
        try:
            connection.request(
                method, parts.path, data, self.headers if headers is None else headers
            )
            reply = connection.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, names, reply.read())
        finally:
            connection.close()

    def v1(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request to the part of the API without a tenant in its paths."""
        return self(method, f"{self.api}/api/v1{path}", body)

    def export(self, **body: Any) -> Any:
        """Create an export job and return its first status."""
        created = self("POST", "/api/v4/export", body)
        assert created.status == 200, created.body
        return self("GET", f"/api/v4/export/{created.json['id']}/status").json

    def package(self, **body: Any) -> bytes:
        """Export and return the bytes of the package."""
        url = self.export(**body)["outputs"]["files"][0]["file"]
        return self("GET", url, headers={}).body


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a tree of two services in two folders, and one folder without any."""
    tree = tmp_path / "acme"
    for version in ("1.2.0", "1.4.1", "1.4.2", "1.20.0"):
        (tree / "motor" / "pricing" / version).mkdir(parents=True)
    (tree / "life" / "annuity-rates" / "0.1.0").mkdir(parents=True)
    (tree / "empty").mkdir()
    return tree


@pytest.fixture
def start(root: Path, clock: Clock) -> Iterator[Callable[..., Caller]]:
    """Return a function that starts a sandbox with the settings given and returns a caller."""
    with ExitStack() as stack:
        yield lambda **settings: Caller(
            stack.enter_context(Sandbox(root, Settings(**settings), clock=clock))
        )


@pytest.fixture
def call(start: Callable[..., Caller]) -> Caller:
    """Return a caller of a sandbox with default settings."""
    return start()
