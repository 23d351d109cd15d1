"""The notifiers' options: their JSON Schemas, and a check of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
    "patternErrorMessage": "not a URL such as http://host:9091, without user and query",
    "x-form": "a URL such as http://host:9091",
}
_HEADERS: Final[dict[str, Any]] = {
    "title": "Headers",
    "description": "Further headers of the request; each must be a reference.",
    "type": "object",
    "additionalProperties": {
        "title": "Header",
        "description": "The header's value.",
        "type": "string",
        "x-secret": True,
    },
    "examples": [{"Authorization": "${env:TELEMETRY_AUTHORIZATION}"}],
}
PUSHGATEWAY: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {
            **_URL,
            "title": "Pushgateway",
            "description": "Address of the gateway; /metrics/job/… is added to it.",
            "examples": ["http://pushgateway.acme.internal:9091"],
        },
        "job": {
            "title": "Job",
            "description": "The label job of the pushed group, which has the manifest's name, too.",
            "type": "string",
            "pattern": r"^[^/\s]+$",
            "patternErrorMessage": "not a label without spaces and slashes",
            "x-form": "a label without spaces and slashes",
            "default": "impex",
        },
        "headers": _HEADERS,
    },
    "required": ["url"],
}
OTEL: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "endpoint": {
            **_URL,
            "title": "Collector",
            "description": "Address that takes OTLP over HTTP; /v1/traces and /v1/metrics are "
            "added to it. Without it, OTEL_EXPORTER_OTLP_ENDPOINT counts.",
            "examples": ["http://collector.acme.internal:4318"],
        },
        "headers": _HEADERS,
    },
}


def check_headers(url: str, headers: Mapping[str, str]) -> None:
    """Raise ``NotifyError`` if headers, which hold secrets, would travel without TLS."""
    parts = urlsplit(url)
    if headers and parts.scheme == "http" and not tools.is_loopback(parts.hostname or ""):
        raise errors.NotifyError(f"headers hold secrets, but the address is not https: {url}")
