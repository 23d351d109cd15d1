"""What a runner says to an upload, in one line; its replies are not documented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from spark_impex_runner.tools.http import HttpResponse

_OFF = (
    "the runner takes no uploads here: start it with UPLOAD_ENABLE=true, and check url and its "
    "CUSTOM_API_ROUTE"
)
_TODO = {
    401: "a gateway asks for credentials: write headers",
    403: f"{_OFF}; a gateway may ask for headers",
    404: _OFF,
    405: _OFF,
    413: (
        "the package is over the runner's limit: start it with a larger BODY_LIMIT, which a "
        "gateway in front of it may have to allow, too"
    ),
}
_HUNG_UP = ("Connection reset", "Broken pipe", "RemoteDisconnected")


def words(reply: HttpResponse) -> str:
    """Return the runner's own words, none where there are no such."""
    if isinstance(reply.data, Mapping):
        inner = reply.data.get("error")
        found = [reply.data.get("message"), inner, reply.data.get("status")]
        if isinstance(inner, Mapping):
            found.insert(0, inner.get("message"))
        text = next((each for each in found if isinstance(each, str) and each), None)
        return tools.one_line(text or reply.buffer.decode("utf-8", "replace"))
    if reply.buffer.lstrip()[:1] == b"<":
        return "an HTML page"
    return tools.one_line(reply.buffer.decode("utf-8", "replace"))


def refused(reply: HttpResponse, said: str) -> str:
    """Return what a reply outside 2xx means, and what to do."""
    todo = "check url" if reply.status < 400 else _TODO.get(reply.status, "")
    return f"HTTP {reply.status}{' ' if said else ''}{said}{'; ' if todo else ''}{todo}"


def broken(error: errors.TransportError) -> str:
    """Return what no reply at all means; a server may hang up on a body that it does not want."""
    hint = "; a runner does so when the package is over its BODY_LIMIT"
    return f"{error}{hint if any(word in str(error) for word in _HUNG_UP) else ''}"
