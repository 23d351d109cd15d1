"""A threaded HTTP/1.1 server on loopback that passes requests to one function."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from socketserver import TCPServer
from typing import TYPE_CHECKING

from spark_impex_runner.sandbox.http.body import CHUNK, open_body
from spark_impex_runner.sandbox.http.messages import (
    ConnectionReset,
    HttpError,
    Reply,
    Request,
    json_reply,
    v4_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.sandbox.http.messages import Handle, Readable

LOOPBACK = "127.0.0.1"
BODY_LIMIT = 16 * 1024 * 1024
_UNLIMITED = 1 << 20
# How long a new connection waits for the end of the one in whose place it comes.
_SLOT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server takes of its clients.

    ``body`` is the size in bytes of the bodies that the server reads before it calls the handler;
    0 leaves that to the handler. ``rest`` is how much of a body that the handler left is read, so
    that the client gets the reply. ``connections`` is how many there may be: one more ends the one
    that is idle the longest. ``seconds`` is how long a connection may take until the headers of a
    request are there, the wait for them included, and as long for its body and the reply.
    """

    body: int = BODY_LIMIT
    rest: int | None = None
    connections: int | None = None
    seconds: float | None = None


class HttpServer(ThreadingHTTPServer):
    """Binds a loopback port at once, and answers requests from ``start`` to ``close``.

    Calls ``journal(request, status)`` before each reply is sent, with status 0 for a connection
    that is reset instead. ``sent`` counts the bytes of bodies. ``now`` is the clock of the limits.
    """

    daemon_threads = True
    # On Windows the same option would let a second server take the port of the first.
    allow_reuse_address = os.name == "posix"
    # Hundreds of clients connect at once; one that the queue drops retries only a second later.
    request_queue_size = 1024

    handle: Handle

    def __init__(
        self,
        port: int,
        journal: Callable[[Request, int], None],
        limits: ServerLimits = ServerLimits(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.journal = journal
        self.limits = limits
        self.sent = 0
        self._now = now
        # When each made progress, the longest idle one first.
        self._connections: dict[socket.socket, float] = {}
        self._slots = threading.BoundedSemaphore(limits.connections or _UNLIMITED)
        self._lock = threading.Lock()
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise OSError(
                f"port {port} of {LOOPBACK} cannot be used: {error.strerror}; choose another port"
            ) from None
        self.url = f"http://{LOOPBACK}:{self.server_address[1]}"
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def server_bind(self) -> None:
        """Bind without the DNS lookup of the base class, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def start(self, handle: Handle) -> None:
        """Start answering with ``handle``."""
        self.handle = handle
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and close the connections that are still open."""
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        # Keep-alive connections would keep their threads, and answer clients after the end.
        with self._lock:
            open_connections = list(self._connections)
        for connection in open_connections:
            _shut(connection)

    def count(self, sent: int) -> None:
        """Add to the number of sent bytes."""
        with self._lock:
            self.sent += sent

    def process_request(self, request: object, client_address: object) -> None:
        """Serve one connection on a thread, which ``close`` can end; refuse it if all are busy."""
        assert isinstance(request, socket.socket)  # noqa: S101 - what TCPServer always passes
        if not self._slots.acquire(blocking=False):
            self._end_oldest()
            # Its thread ends at once, unless a disk hangs.
            if not self._slots.acquire(timeout=_SLOT_SECONDS):
                self.shutdown_request(request)
                return
        self.progressed(request)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system allows no more threads
            self._forget(request)
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve one connection."""
        assert isinstance(request, socket.socket)  # noqa: S101 - see above
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def service_actions(self) -> None:
        """End the connections that take too long; called several times a second."""
        if self.limits.seconds is None:
            return
        end = self._now() - self.limits.seconds
        with self._lock:
            late = list(takewhile(lambda each: each[1] < end, self._connections.items()))
        for connection, _ in late:
            _shut(connection)

    def progressed(self, connection: socket.socket) -> None:
        """Note that a connection makes progress; it is the last one to be ended now."""
        with self._lock:
            self._connections.pop(connection, None)
            self._connections[connection] = self._now()

    def _end_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._connections), None)
            if oldest:
                del self._connections[oldest]
        if oldest:
            _shut(oldest)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.pop(connection, None)
        self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: the client has closed the connection."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Buffered and with TCP_NODELAY: two small packets could wait 40 ms for a delayed
    # acknowledgement, in each request of a test.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: HttpServer

    def version_string(self) -> str:
        """Return the header ``Server``, without versions: it is for strangers, too."""
        return "spark-impex-runner"

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Return what answers a request of any method, which the base class calls ``do_GET``."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request of HTTP/1 by the status alone."""
        del message, explain
        self.close_connection, self.request_version = True, self.protocol_version
        self._send(Reply(code, (), 0))

    def _answer(self) -> None:
        self.server.progressed(self.connection)
        try:
            stream = open_body(self.headers, self.rfile)
        except ValueError:
            self.close_connection = True
            self._send(Reply(400, (), 0))
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, stream)
        try:
            # Uploads may be larger than the memory; their endpoint reads the stream itself.
            is_upload = headers.get("content-type", "").startswith("multipart/")
            if self.server.limits.body and not is_upload:
                request = replace(request, body=_whole(stream, self.server.limits.body))
            reply = self.server.handle(request)
        except HttpError as error:
            reply = error.reply
        except ConnectionReset:
            self.server.journal(request, 0)
            self._reset()
            return
        except EOFError:  # the client has closed the connection, or ``service_actions`` has
            self.close_connection = True
            return
        except Exception as error:  # noqa: BLE001 - a bug of the sandbox must reach its user
            reply = _fault(error)
        self.server.journal(request, reply.status)
        self._drop_rest(stream)
        self._send(reply)

    def _drop_rest(self, stream: Readable) -> None:
        """Read what is left of a body: it would be parsed as the next request otherwise."""
        left = self.server.limits.rest
        while piece := stream.read(CHUNK):
            if left is not None and (left := left - len(piece)) < 0:
                self.close_connection = True
                return

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = 0
        for chunk in reply.chunks:
            self.wfile.write(chunk)
            sent += len(chunk)
            self.server.count(len(chunk))
        # The client must not wait for the missing bytes of a body that was cut.
        if sent < reply.length:
            self.close_connection = True
        self.server.progressed(self.connection)

    def _reset(self) -> None:
        """Close the connection with a TCP reset: SO_LINGER of 0 seconds drops unsent data."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Log nothing: the journal has every request."""


def _fault(error: Exception) -> Reply:
    message = f"the sandbox failed: {type(error).__name__}: {error}"
    return json_reply({"type": "application_error", "code": "SANDBOX", "message": message}, 500)


def _whole(stream: Readable, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(CHUNK):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise v4_error(413, "BODY_TOO_LARGE", f"the body exceeds {limit} bytes")
    return b"".join(pieces)
