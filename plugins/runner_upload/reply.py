"""Describe a runner's reply to an upload in one line; the replies are not documented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from spark_impex_runner.tools.http import HttpResponse

_DISABLED = (
    "the runner does not accept uploads here: start it with UPLOAD_ENABLE=true (UPLOAD_ENABLED in "
    "the SDK's examples), and check url and its CUSTOM_API_ROUTE"
)
_HINTS = {
    401: "a gateway requires credentials: set headers",
    403: f"{_DISABLED}; a gateway may require headers",
    404: _DISABLED,
    405: _DISABLED,
    413: (
        "the package exceeds the runner's limit: start it with a larger BODY_LIMIT, which a "
        "gateway in front of it may have to allow, too"
    ),
}
_CONNECTION_CLOSED = ("Connection reset", "Broken pipe", "RemoteDisconnected")


def reply_text(reply: HttpResponse) -> str:
    """Return the message in a reply, empty if there is none."""
    if isinstance(reply.data, Mapping):
        inner = reply.data.get("error")
        found = [reply.data.get("message"), inner, reply.data.get("status")]
        if isinstance(inner, Mapping):
            found.insert(0, inner.get("message"))
        text = next((each for each in found if isinstance(each, str) and each), None)
        return tools.one_line(text or reply.buffer.decode("utf-8", "replace"))
    if is_page(reply):
        return "an HTML page"
    return tools.one_line(reply.buffer.decode("utf-8", "replace"))


def is_page(reply: HttpResponse) -> bool:
    """Return whether the body is an HTML page."""
    return reply.buffer.lstrip()[:1] == b"<"


def no_service_message(reply: HttpResponse, text: str) -> str:
    """Describe a reply by which no runner is known to serve, and what to do."""
    hint = "; check the runner's own log"
    if reply.good or reply.status < 400 or reply.status in {404, 405}:
        hint = "; check url; a runner that has no such path cannot be asked: remove prove"
    elif reply.status in {401, 403}:
        hint = "; a gateway requires credentials: set headers"
    return f"HTTP {reply.status}{' ' if text else ''}{text}{hint}"


def refusal_message(reply: HttpResponse, text: str) -> str:
    """Describe a reply outside 2xx, and what to do."""
    hint = "check url" if reply.status < 400 else _HINTS.get(reply.status, "")
    return f"HTTP {reply.status}{' ' if text else ''}{text}{'; ' if hint else ''}{hint}"


def transport_message(error: errors.TransportError) -> str:
    """Describe a missing reply; a server may close the connection on a body that it refuses."""
    hint = "; a runner does so if the package exceeds its BODY_LIMIT"
    return f"{error}{hint if any(word in str(error) for word in _CONNECTION_CLOSED) else ''}"
