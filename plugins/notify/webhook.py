"""The notifier ``webhook``: POST the summary, with retries after transient errors."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models
from spark_impex_runner.tools.http import HttpClient

from .message import summary
from .options import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds per attempt; the manifest's ``timeout`` bounds all of them together.
_TIMEOUT = 10.0
_ATTEMPTS = 4


def send(options: Mapping[str, Any], report: models.RunResult) -> None:
    """Post the summary of a run."""
    body = json.dumps(summary(report)).encode()
    headers = {**options.get("headers", {}), "Content-Type": "application/json"}
    if key := options.get("signing_key"):
        headers[SIGNATURE] = f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"
    verify = options.get("verify_tls", True)
    if isinstance(verify, str):
        verify = str(report.manifest.path.absolute().parent / verify)
    with HttpClient(secrets=[options["url"]], timeout=_TIMEOUT, verify=verify) as client:
        try:
            reply = client.send("POST", options["url"], headers, body, attempts=_ATTEMPTS)
        except errors.TransportError as error:
            raise errors.NotifyError(str(error)) from None
    if not reply.good:
        raise errors.NotifyError(_refusal(reply.status))


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; use the final URL"
    return f"HTTP {status}; check url and headers"
