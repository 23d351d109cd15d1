"""Answer the requests of ``impex listen``: check the key, and store each chosen event."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from spark_impex_runner.engine.webhook import BODY_LIMIT, read_event
from spark_impex_runner.errors import UsageError, describe_os_error
from spark_impex_runner.sandbox.http.messages import Reply, json_reply
from spark_impex_runner.sandbox.http.server import ServerLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.engine.webhook import EventOptions
    from spark_impex_runner.sandbox.http.messages import Request

_log = logging.getLogger(__name__)
_EMPTY: tuple[bytes, ...] = ()
# Of one request. It is small, and its sender is a proxy.
_SECONDS = 30.0
_CONNECTIONS = 64
# Bytes; of a larger body the rest is not read, and the connection closed.
_REST = 16 * BODY_LIMIT


class Receiver:
    """The handler of all requests.

    ``store(id, body)`` writes a chosen event to disk, or raises ``OSError``; ``stopping()`` is True
    once the listener stops: events are refused then, for another one may have another disk.
    """

    # The body is read only after the key was checked.
    limits = ServerLimits(body=0, rest=_REST, connections=_CONNECTIONS, seconds=_SECONDS)

    def __init__(
        self,
        key: str,
        key_name: str,
        options: EventOptions,
        store: Callable[[str, bytes], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._digest = _digest(key)
        self._key_name = key_name.lower()
        self._options = options
        self._store = store
        self._stopping = stopping
        self._has_refused = False

    def __call__(self, request: Request) -> Reply:
        """Answer one request: 401, 405, 413, 400 or 503, and 202 once the event is on disk."""
        if not self._has_key(request):
            self._note_unauthorized()
            return Reply(401, _EMPTY, 0)
        if request.method != "POST":
            return Reply(405, _EMPTY, 0, {"Allow": "POST"})
        body = _read(request)
        if body is None:
            return _refused(413, f"the body has more than {BODY_LIMIT} bytes")
        return self._take(body)

    def _take(self, body: bytes) -> Reply:
        """Store the event in a body."""
        try:
            event = read_event(body, self._options)
        except UsageError as error:
            return _refused(400, str(error))
        if not event.chosen:
            _log.info("ignored: %s", event.action or "no UserAction")
            return json_reply({"status": "ignored"}, 202)
        if self._stopping():
            return _reply(503, "the listener stops; send the event again")
        try:
            self._store(event.id, body)
        except OSError as error:
            _log.error("event %s was not stored: %s", event.id, describe_os_error(error))
            return _reply(503, "the event was not stored; send it again")
        return json_reply({"status": "queued", "event": event.id}, 202)

    def _note_unauthorized(self) -> None:
        """Log a request without the key: once, for strangers may send any number of them."""
        if not self._has_refused:
            self._has_refused = True
            _log.warning(
                "refused with 401: a request without the key in the header or query parameter %s; "
                "later ones are not logged",
                self._key_name,
            )

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


def _refused(status: int, message: str) -> Reply:
    """Refuse the body of a sender that has the key, and log why."""
    _log.warning("refused with %d: %s", status, message)
    return _reply(status, message)


def _reply(status: int, message: str) -> Reply:
    return json_reply({"status": "refused", "message": message}, status)
