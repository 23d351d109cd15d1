"""The notifier ``webhook``: one POST of the summary, repeated while the failure is transient."""

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

# Seconds for each attempt; how long all may take is the manifest's ``timeout``.
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
        return f"HTTP {status}: redirects are not followed; give the address that it leads to"
    return f"HTTP {status}; check the address and the headers"
