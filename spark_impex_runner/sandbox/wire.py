"""What passes between the HTTP layer and the endpoints: a request, a reply, a refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Readable(Protocol):
    """A body that is read piece by piece; an empty piece is its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``path`` is raw: not decoded, without the ``query``.

    ``headers`` has lower-case names. ``body`` is complete, except for multipart, where it is
    empty and ``stream`` gives the bytes.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    stream: Readable
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply. ``length`` is announced; chunks that end early break the connection."""

    status: int
    chunks: Iterable[bytes]
    length: int
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Request], Reply]
"""What serves an origin. Whoever wants to disturb the traffic wraps one of these."""


class Reset(Exception):  # noqa: N818 - what is to happen, not an error
    """Ends the work on a request by breaking the connection, without any reply."""


class Refusal(Exception):  # noqa: N818 - an answer on its way out, not an error
    """Ends the work on a request with ``reply``."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(data: Any, status: int = 200) -> Reply:
    """Return ``data`` as a JSON reply."""
    body = json.dumps(data).encode()
    return Reply(status, (body,), len(body), {"Content-Type": "application/json"})


def v4_refusal(status: int, code: str, message: str) -> Refusal:
    """Return a refusal in the form of the v4 API (documented)."""
    return Refusal(json_reply({"type": "invalid_input", "code": code, "message": message}, status))


def v1_reply(data: Any) -> Reply:
    """Return ``data`` in the envelope of the v1 API (documented)."""
    return json_reply({"message": None, "data": data, "errorCode": None, "status": "Success"})


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``; anything else is refused with 400."""
    try:
        data = json.loads(body)
    except ValueError:
        raise v4_refusal(400, "INVALID_JSON", "the body is not JSON") from None
    if not isinstance(data, dict):
        raise v4_refusal(400, "INVALID_JSON", "the body must be a JSON object")
    return data
