"""The notifier ``pushgateway``: replace the group of a manifest on a Prometheus Pushgateway."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools
from spark_impex_runner.tools.http import HttpClient

from .options import PUSHGATEWAY, check_headers
from .prometheus import lines

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds per attempt; the manifest's ``timeout`` bounds all of them together.
_TIMEOUT = 10.0
_ATTEMPTS = 4


def send(options: Mapping[str, Any], report: models.RunResult) -> None:
    """Push the figures, which replace those of the manifest's run before."""
    job = options.get("job", PUSHGATEWAY["properties"]["job"]["default"])
    group = f"{_label('job', job)}/{_label('manifest', report.manifest.name)}"
    url, headers = f"{options['url'].rstrip('/')}/metrics/{group}", options.get("headers", {})
    check_headers(url, headers)
    sent = {**headers, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    body = "".join(lines(report)).encode()
    with HttpClient(secrets=headers.values(), timeout=_TIMEOUT) as client:
        try:
            reply = client.send("PUT", url, sent, body, attempts=_ATTEMPTS)
        except errors.TransportError as error:
            raise errors.NotifyError(f"PUT {url}: {error}") from None
        text = client.mask(tools.one_line(reply.buffer.decode("utf-8", "replace")))
    if not reply.good:
        hint = f": {text}" if text else ""
        raise errors.NotifyError(f"PUT {url}: HTTP {reply.status}{hint}; check url and headers")


def _label(name: str, value: str) -> str:
    """Return a label of the group as a part of the path, in the form that takes any text."""
    return f"{name}@base64/{urlsafe_b64encode(value.encode()).decode()}"
