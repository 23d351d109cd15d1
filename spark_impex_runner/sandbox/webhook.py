"""Post events as a tenant's webhook does; of their fields only ``UserAction`` is documented."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)
_SECONDS = 30.0


class Webhook:
    """Posts events to one URL, one after the other, on a thread of its own.

    ``key`` travels in the header ``x-api-key`` (documented: a header or a query parameter). An
    event that cannot be sent or is refused is dropped, with a warning. Raises ValueError if ``url``
    is none.
    """

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"sandbox setting webhook: {url!r} is not a URL such as http://host/")
        self._parts, self._key = parts, key
        self._events: SimpleQueue[Mapping[str, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._post_all, name="sandbox-webhook", daemon=True)
        self._thread.start()

    def post(self, action: str, folder: str, service: str, version: str, version_id: str) -> None:
        """Queue an event; the names of all fields but ``UserAction`` are invented."""
        self._events.put(
            {
                "UserAction": action,
                "FolderName": folder,
                "ServiceName": service,
                "Version": version,
                "VersionId": version_id,
            }
        )

    def close(self) -> None:
        """Send what is queued, and end."""
        self._events.put(None)
        self._thread.join(_SECONDS)

    def _post_all(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                status = self._post(json.dumps(event))
            except (OSError, http.client.HTTPException) as error:
                self._warn(event, f"was not sent: {error}")
            else:
                if status not in range(200, 300):
                    self._warn(event, f"was refused with {status}")

    def _warn(self, event: Mapping[str, str], what: str) -> None:
        # Without the query, which may hold a key.
        place = f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}{self._parts.path}"
        _log.warning("webhook %s: %s %s", place, event["UserAction"], what)

    def _post(self, body: str) -> int:
        parts = self._parts
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=_SECONDS)
        headers = {"Content-Type": "application/json"}
        headers |= {"x-api-key": self._key} if self._key else {}
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        try:
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            reply.read()
            return reply.status
        finally:
            connection.close()
