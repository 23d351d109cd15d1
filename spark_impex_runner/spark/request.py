"""Build the body of an export request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spark_impex_runner.spark.uri import Uri

SOURCE_SYSTEM = "spark-impex-runner"
_FILE_FILTERS = ("migrate", "onpremises")
_VERSION_FILTERS = ("latest", "all")


def build_request(uris: Iterable[Uri], **fields: Any) -> Request:
    """Return a ``Request`` with ``fields`` and the URIs, each in the list where the API takes it.

    A service id is sent bare among the services, a version id among ``version_ids`` (documented).
    Repeated items are left out; the order is kept.
    """
    rest = Request(**fields)
    services, version_ids = list(rest.services), list(rest.version_ids)
    for uri in uris:
        (version_ids if uri.version_id else services).append(uri.wire)
    return replace(
        rest,
        services=tuple(dict.fromkeys(services)),
        version_ids=tuple(dict.fromkeys(version_ids)),
    )


def encode(request: Request) -> bytes:
    """Return the JSON body, with the fields and their order as the official Python SDK sends them.

    Empty lists are left out, ``correlation_id`` is null if unset, and ``file_name``, which that SDK
    does not know, is sent only if set. Raises ``UsageError`` for a request that the API refuses.
    """
    _require("file_filter", request.file_filter, _FILE_FILTERS)
    _require("version_filter", request.version_filter, _VERSION_FILTERS)
    lists = {
        "folders": request.folders,
        "services": request.services,
        "version_ids": request.version_ids,
    }
    inputs = {name: list(values) for name, values in lists.items() if values}
    if not inputs:
        raise UsageError("nothing to export; give at least one of folders, services, version_ids")
    body: dict[str, Any] = {
        "inputs": inputs,
        "file_filter": request.file_filter,
        "version_filter": request.version_filter,
        "source_system": request.source_system or SOURCE_SYSTEM,
        "correlation_id": request.correlation_id,
    }
    if request.file_name:
        body["file_name"] = request.file_name
    return to_json(body)


def to_json(value: Any) -> bytes:
    """Return compact UTF-8 JSON, not escaped, as the official SDK does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _require(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
