"""The messages between the HTTP servers and the endpoints: requests, replies and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Readable(Protocol):
    """A body that is read in pieces; an empty piece is its end."""

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
"""Answers the requests of one server; faults are injected by wrapping it."""


class ConnectionReset(Exception):  # noqa: N818 - an instruction, not an error
    """Tells the server to reset the connection without a reply."""


class HttpError(Exception):
    """Ends a request with ``reply``, an error response."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(data: Any, status: int = 200) -> Reply:
    """Return ``data`` as a JSON reply."""
    body = json.dumps(data).encode()
    return Reply(status, (body,), len(body), {"Content-Type": "application/json"})


def v4_error(status: int, code: str, message: str) -> HttpError:
    """Return an error in the format of the v4 API (documented)."""
    return HttpError(
        json_reply({"type": "invalid_input", "code": code, "message": message}, status)
    )


def v1_error(code: str, message: str) -> HttpError:
    """Return a 404 in the envelope of the v1 API."""
    body = {"message": message, "data": None, "errorCode": code, "status": "Error"}
    return HttpError(json_reply(body, 404))


def v1_reply(data: Any) -> Reply:
    """Return ``data`` in the envelope of the v1 API (documented)."""
    return json_reply({"message": None, "data": data, "errorCode": None, "status": "Success"})


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``; raise 400 for anything else."""
    try:
        data = json.loads(body)
    except ValueError:
        raise v4_error(400, "INVALID_JSON", "the body is not JSON") from None
    if not isinstance(data, dict):
        raise v4_error(400, "INVALID_JSON", "the body must be a JSON object")
    return data
