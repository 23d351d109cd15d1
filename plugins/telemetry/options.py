"""The JSON Schemas of the notifiers' options."""

from __future__ import annotations

from typing import Any, Final

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
