"""Fixtures of the client's tests: a served tenant, a scripted server, sessions to both."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from spark_impex_runner.masking import Masker
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.http.auth import Bearer
from spark_impex_runner.spark.http.retry import RetryPolicy
from spark_impex_runner.spark.http.session import HttpClient, RateLimiter, Session
from spark_impex_runner.spark.http.transport import Transport
from spark_impex_runner.spark.tenant import TenantUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock


class Seen(NamedTuple):
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """A reply to give; ``length`` overrides the Content-Length, None leaves it out."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    length: int | None = -1


class Quiet(ThreadingHTTPServer):
    """A server that keeps quiet about clients that hang up."""

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


class Script:
    """A loopback server that gives replies in order (the last one for ever) and notes requests.

    In place of a reply may stand a function that makes it from the request.
    """

    def __init__(self, *replies: Reply | Callable[[Seen], Reply]) -> None:
        self.replies = list(replies)
        self.seen: list[Seen] = []
        self.connections: set[Any] = set()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.connections.add(self.client_address)
                script.seen.append(Seen(self.command, self.path, headers, body))
                script.give(self)

            do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names http.server calls

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def give(self, handler: BaseHTTPRequestHandler) -> None:
        """Send the next reply."""
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        reply = reply if isinstance(reply, Reply) else reply(self.seen[-1])
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.length is not None:
            length = len(reply.body) if reply.length < 0 else reply.length
            handler.send_header("Content-Length", str(length))
        handler.close_connection = reply.length is None or reply.length > len(reply.body)
        handler.end_headers()
        handler.wfile.write(reply.body)

    def __enter__(self) -> Script:  # noqa: PYI034 - Python 3.10 has no typing.Self
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what closes a test's servers and clients at its end."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def reply() -> Callable[..., Reply]:
    """Return a function that makes a scripted reply; a dict or list becomes JSON."""

    def make(body: Any = b"{}", status: int = 200, **rest: Any) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(status, data, **rest)

    return make


@pytest.fixture
def script(stack: ExitStack) -> Callable[..., Script]:
    """Return a function that starts a scripted server."""
    return lambda *replies: stack.enter_context(Script(*replies))


@pytest.fixture
def masker() -> Masker:
    """Return the masker that the sessions of a test share."""
    return Masker()


@pytest.fixture
def http(stack: ExitStack, clock: Clock, masker: Masker) -> HttpClient:
    """Return a client whose random draw is always 1, so that waits are known."""
    transport = Transport(masker, timeout=5)
    stack.callback(transport.close)
    return HttpClient(
        lambda: transport, clock, masker, RateLimiter(clock), RetryPolicy(draw=lambda: 1.0)
    )


@pytest.fixture
def session_to(http: HttpClient) -> Callable[[Script], Session]:
    """Return a function that makes a session of the tenant ``acme`` on a scripted server."""
    return lambda server: Session(
        TenantUrl(server.url, "acme"), http, Bearer("the-token", http.masker)
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tenant's tree: the services that the README's calls name."""
    root = tmp_path / "acme"
    for version in ("0.4.1", "0.4.2"):
        (root / "my-folder" / "my-service" / version).mkdir(parents=True)
    (root / "my-other-folder" / "my-service-2" / "1.0.0").mkdir(parents=True)
    return root


@pytest.fixture
def sandbox(tree: Path, stack: ExitStack, clock: Clock) -> Callable[..., Sandbox]:
    """Return a function that starts a sandbox on the test's clock, with the settings given."""
    return lambda **settings: stack.enter_context(
        Sandbox(tree, Settings(**settings), clock=clock.monotonic)
    )


@pytest.fixture
def connect(stack: ExitStack, clock: Clock, masker: Masker) -> Callable[..., Spark]:
    """Return a function that connects to a sandbox, with its token unless told otherwise."""

    def make(served: Sandbox, **arguments: Any) -> Spark:
        if not arguments.keys() & {"oauth", "api_key"}:
            arguments.setdefault("token", served.token)
        return stack.enter_context(
            Spark(base_url=served.base_url, clock=clock, masker=masker, **arguments)
        )

    return make


@pytest.fixture(scope="session")
def package() -> Callable[..., bytes]:
    """Return a function that makes a small ZIP package, the same whenever it is called."""

    def make(content: bytes = b"{}") -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo("acme/manifest.json")  # of 1980; else it has the time of now
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    return make
