"""The SDK's ``HttpResponse``, with what was sent and received."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SentRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.spark.http.response import HttpResponse as Reply


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A reply with the attributes of an HTTP library's that programs use.

    ``content`` is the body. That of a download is not kept twice: it is ``HttpResponse.buffer``.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    request: SentRequest = field(repr=False)

    @property
    def text(self) -> str:
        """The body as a text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON; raise ``ValueError`` if it is none."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A reply: ``status``, ``data`` (JSON), ``buffer`` (bytes), ``headers``, and both raw sides.

    ``raw_request`` has no credentials; that of a download has no URL, since the link is a secret.
    """

    status: int
    data: Any = field(default=None, repr=False)
    buffer: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw_request: SentRequest = field(default_factory=SentRequest, repr=False)
    raw_response: RawResponse | None = field(default=None, repr=False)

    @staticmethod
    def of(reply: Reply) -> HttpResponse:
        """Return a reply of ``Spark`` in the SDK's form."""
        sent = reply.request or SentRequest("GET")
        raw = RawResponse(reply.status, reply.headers, reply.buffer, sent)
        return HttpResponse(reply.status, reply.data, reply.buffer, reply.headers, sent, raw)

    def copy_with(self, **changes: Any) -> HttpResponse:
        """Return the same reply with other values; ``request``, ``response`` are the raw ones."""
        names = {"request": "raw_request", "response": "raw_response"}
        return replace(self, **{names.get(name, name): v for name, v in changes.items()})
