"""Read a transform document: ``GET {tenant}/api/v4/transform/{folder}/{name}``.

The path is that of the official SDK; the reply is not published. Documented is the request that
saves a document: ``transform_content`` holds it as one text, with ``transform_type`` in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.fields import mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.spark.http.session import Session


def transform_document(session: Session, folder: str, name: str) -> Mapping[str, Any]:
    """Return a transform document; raise ``SparkSdkError`` for a reply that holds none."""
    path = ("api", "v4", "transform", folder, name)
    reply = mapping(session.get(*path).data)
    for found in (reply, mapping(reply.get("response_data")), mapping(reply.get("data"))):
        content = found.get("transform_content", found)
        document = mapping(_parsed(content) if isinstance(content, str) else content)
        if "transform_type" in document:
            return document
    where = f"GET {'/'.join(path)} on {session.url.base}"
    raise SparkSdkError(f"{where}: the reply holds no transform document")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
