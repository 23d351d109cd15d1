"""A loopback server that takes whatever is sent to it, and records what that was."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.sandbox.http.messages import json_reply
from spark_impex_runner.sandbox.http.server import HttpServer

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import Reply, Request

_CHUNK = 65_536
# The first bytes of a body that are recorded.
_RECORDED = 2_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One request to the sink; ``start`` is the beginning of its body of ``size`` bytes."""

    method: str
    content_type: str
    size: int
    start: bytes


class Sink:
    """Answers each request with 200 and an empty JSON object; a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: defaultdict[str, list[Sent]] = defaultdict(list)
        self._server = HttpServer(0, lambda _, __: None)
        self.port = self._server.server_port

    def url(self, name: str) -> str:
        """Return the URL whose requests ``sent`` returns for the same name."""
        return f"{self._server.url}/{name}"

    def sent(self, name: str) -> list[Sent]:
        """Return the requests to the URL of a name, and below it, in their order."""
        with self._lock:
            return list(self._sent[name])

    def __enter__(self) -> Sink:  # noqa: PYI034 - Python 3.10 has no typing.Self
        self._server.start(self._answer)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _answer(self, request: Request) -> Reply:
        start, size = request.body[:_RECORDED], len(request.body)
        while piece := request.stream.read(_CHUNK):
            start, size = (start + piece)[:_RECORDED], size + len(piece)
        kind = request.headers.get("content-type", "").partition(";")[0]
        name = request.path.split("/")[1]
        with self._lock:
            self._sent[name].append(Sent(request.method, kind, size, start))
        return json_reply({})
