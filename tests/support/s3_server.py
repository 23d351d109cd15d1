"""An S3 server with conditional writes for tests: moto, with each request as one atomic step.

``python s3_server.py [google]`` prints its address. ``GET /_requests`` returns what was asked since
the start, as lines of method, path and status; ``POST /_lost/N`` lets the replies of the next N
successful PUTs get lost, ``POST /_later/N`` sets the clock of what is written from now on N seconds
ahead. As ``google`` it knows the generations of Google's XML interface.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from moto.s3 import models
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REFUSED = b"<Error><Code>PreconditionFailed</Code><Message>generation</Message></Error>"

# Moto checks no signature, but wants one.
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=0"
)


class Server:
    """The WSGI application around moto's."""

    def __init__(self, *, google: bool) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._google = google
        self._generations: dict[str, int] = {}
        self._lock = threading.Lock()
        self._log: list[str] = []
        self._lost = 0
        self._ahead = timedelta()
        now = models.utcnow
        models.utcnow = lambda: now() + self._ahead

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        # Read outside the lock: a client that was stopped on the way must not hold up the others.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        path = environ["PATH_INFO"]
        with self._lock:
            if path.startswith("/_"):
                return self._control(path, start)
            status, headers, body = self._answer(environ)
            method = environ["REQUEST_METHOD"]
            self._log.append(f"{method} {path} {status[:3]}")
            lost = self._lost and method == "PUT" and status.startswith("200")
            self._lost -= bool(lost)
        if lost:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start(status, headers)
        return [body]

    def _control(self, path: str, start: Callable[..., Any]) -> Iterable[bytes]:
        if path.startswith("/_lost/"):
            self._lost = int(path.rpartition("/")[2])
        if path.startswith("/_later/"):
            self._ahead = timedelta(seconds=int(path.rpartition("/")[2]))
        start("200 OK", [("Content-Type", "text/plain")])
        return ["\n".join(self._log).encode()]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        expected = environ.get("HTTP_X_GOOG_IF_GENERATION_MATCH")
        if expected is not None and int(expected) != self._generations.get(path, 0):
            return "412 Precondition Failed", [("Content-Length", str(len(_REFUSED)))], _REFUSED
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            # With Object Lock, S3 asks for "Content-MD5 OR x-amz-checksum-", moto for this header.
            environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "SHA256")
        if self._google:
            environ["HTTP_AUTHORIZATION"] = _SIGNED
        reply: list[Any] = []
        body = b"".join(self._moto(environ, lambda *words: reply.extend(words[:2])))
        status, headers = reply
        if self._google and status.startswith("200"):
            if method == "PUT":
                self._generations[path] = self._generations.get(path, 1000) + 1
            if path in self._generations:
                headers = [*headers, ("x-goog-generation", str(self._generations[path]))]
        return status, headers, body


class _Quiet(WSGIRequestHandler):
    """A handler without a log."""

    def log(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    server = make_server(
        "127.0.0.1", 0, Server(google="google" in sys.argv), threaded=True, request_handler=_Quiet
    )
    print(f"Running on http://127.0.0.1:{server.port}", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
