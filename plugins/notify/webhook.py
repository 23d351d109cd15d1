"""The notifier ``webhook``: one POST of the summary, repeated while the failure may pass.

The client is the one that speaks with tenants, without anything that it knows of them: it sends no
credentials but the headers given here, follows no redirect, and its errors hold no address.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import NotifyError, TransportError
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.reply import HttpResponse
from spark_impex_runner.spark.retry import Patience, is_passing
from spark_impex_runner.spark.transport import Message, Transport

from .message import summary
from .options import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.models import RunResult

# Each try may take so long (seconds); how long all may take is the manifest's ``timeout``.
_TRY = 10.0
_TRIES = 4
_LONGEST_PAUSE = 60.0


def send(options: Mapping[str, Any], report: RunResult) -> None:
    """Post the summary of a run."""
    body = json.dumps(summary(report)).encode()
    headers = {**options.get("headers", {}), "Content-Type": "application/json"}
    if key := options.get("signing_key"):
        headers[SIGNATURE] = f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"
    verify = options.get("verify_tls", True)
    if isinstance(verify, str):
        verify = str(report.manifest.path.absolute().parent / verify)
    masker = Masker()
    masker.add(options["url"])
    message = Message("POST", options["url"], headers, body)
    patience = Patience(Clock(), attempts=_TRIES, longest=_LONGEST_PAUSE)
    with closing(Transport(masker, timeout=_TRY, verify=verify)) as transport:
        try:
            reply = patience.repeat(lambda: _post(transport, message), is_passing)
        except TransportError as error:
            raise NotifyError(str(error)) from None
    if not reply.good:
        raise NotifyError(_refusal(reply.status))


def _post(transport: Transport, message: Message) -> HttpResponse:
    """Send once; what the reply says besides its head is of no interest."""
    with transport.open(message) as stream:
        return HttpResponse(stream.status, stream.headers)


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; give the address that it leads to"
    return f"HTTP {status}; check the address and the headers"
