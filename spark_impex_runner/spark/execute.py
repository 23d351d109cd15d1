"""Execute a service on the tenant: ``POST /api/v3/folders/{folder}/services/{service}/execute``.

Documented: a body of ``request_data`` and ``request_meta``; a reply with ``status``,
``response_data`` (``outputs``, ``warnings``, ``errors``), ``response_meta`` and ``error``; one case
a call, at most 55 seconds, and an entry in the tenant's call history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.http.session import Body
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from spark_impex_runner.models import ServiceVersion
    from spark_impex_runner.spark.http.session import Session


def execute(
    session: Session, service: ServiceVersion, inputs: Mapping[str, Any], meta: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return ``response_data``; raise ``SparkError``."""
    path = ("api", "v3", "folders", service.folder, "services", service.service, "execute")
    request = {"request_data": {"inputs": inputs}, "request_meta": meta}
    body = Body(json.dumps(request, ensure_ascii=False, allow_nan=False).encode())
    # Calculating again changes nothing, so a transient failure is retried as that of a listing is.
    reply = session.search(*path, body=body).data
    data = reply.get("response_data") if isinstance(reply, Mapping) else None
    if not isinstance(data, Mapping):
        error = reply.get("error") if isinstance(reply, Mapping) else None
        reason = one_line(json.dumps(error)) if error else "the reply has no response_data"
        raise SparkSdkError(f"execute {service.uri}: {reason}")
    return data
