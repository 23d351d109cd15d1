"""Answer the requests of ``impex listen``: check the key, and store each chosen event."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from spark_impex_runner.engine.webhook import BODY_LIMIT, read_event
from spark_impex_runner.errors import UsageError
from spark_impex_runner.sandbox.http.messages import Reply, json_reply
from spark_impex_runner.sandbox.http.server import ServerLimits

if TYPE_CHECKING:
    from queue import SimpleQueue

    from spark_impex_runner.engine.event_queue import EventQueue
    from spark_impex_runner.engine.webhook import EventOptions
    from spark_impex_runner.sandbox.http.messages import Request

_log = logging.getLogger(__name__)
_EMPTY: tuple[bytes, ...] = ()
_IDLE_SECONDS = 30.0
# Bytes; of a larger body the rest is not read, and the connection closed.
_REST = 16 * BODY_LIMIT


class Receiver:
    """The handler of all requests; ``wake`` gets an entry for each event that was stored."""

    # The body is read only after the key was checked.
    limits = ServerLimits(body=0, rest=_REST, idle_seconds=_IDLE_SECONDS)

    def __init__(
        self,
        key: str,
        key_name: str,
        options: EventOptions,
        events: EventQueue,
        wake: SimpleQueue[None],
    ) -> None:
        self._digest = _digest(key)
        self._key_name = key_name.lower()
        self._options = options
        self._events = events
        self._wake = wake

    def __call__(self, request: Request) -> Reply:
        """Answer one request: 401, 405, 413, 400 or 503, and 202 once the event is on disk."""
        if not self._has_key(request):
            return Reply(401, _EMPTY, 0)
        if request.method != "POST":
            return Reply(405, _EMPTY, 0, {"Allow": "POST"})
        body = _read(request)
        if body is None:
            return _refusal(413, f"the body has more than {BODY_LIMIT} bytes")
        return self._take(body)

    def _take(self, body: bytes) -> Reply:
        """Store the event in a body."""
        try:
            event = read_event(body, self._options)
        except UsageError as error:
            return _refusal(400, str(error))
        if not event.chosen:
            _log.info("ignored: %s", event.action or "no UserAction")
            return json_reply({"status": "ignored"}, 202)
        try:
            self._events.put(event.id, body)
        except OSError as error:
            _log.error("event %s was not stored: %s", event.id, error)
            return _refusal(503, "the event was not stored; send it again")
        self._wake.put(None)
        return json_reply({"status": "queued", "event": event.id}, 202)

    def journal(self, request: Request, status: int) -> None:
        """Log nothing: a query may hold the key."""

    def _has_key(self, request: Request) -> bool:
        """Return whether header or query have the key, in a time that does not depend on it."""
        given = [value for name, value in request.headers.items() if name == self._key_name]
        pairs = parse_qsl(request.query, keep_blank_values=True)
        given += [value for name, value in pairs if name.lower() == self._key_name]
        return any(hmac.compare_digest(_digest(each), self._digest) for each in given)


def _digest(text: str) -> bytes:
    # Of equal length for every key.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _read(request: Request) -> bytes | None:
    """Return the body, None if it is too large; the rest of that is not kept."""
    body = b""
    while piece := request.stream.read(BODY_LIMIT + 1 - len(body)):
        body += piece
        if len(body) > BODY_LIMIT:
            return None
    return body


def _refusal(status: int, message: str) -> Reply:
    return json_reply({"status": "refused", "message": message}, status)
