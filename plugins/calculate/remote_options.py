"""The JSON Schema of the options of ``calculate_remote``."""

from __future__ import annotations

from typing import Any, Final

from .options import OPTIONS

MOST: Final = 20
_SHARED: Final = (
    "cases",
    "tolerance",
    "outputs",
    "missing_inputs",
    "empty",
    "separator",
    "columns",
)
REMOTE_OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to", "cases"],
    "properties": {
        "to": {
            "title": "To",
            "description": "Name of the connection on which the cases are executed.",
            "type": "string",
            "x-connection": True,
            "examples": ["prod"],
        },
        **{name: OPTIONS["properties"][name] for name in _SHARED},
        "service": {
            **OPTIONS["properties"]["service"],
            "description": (
                "The service in the package, as folder/service or folder/service[version]. Needed "
                "where the packages hold several."
            ),
        },
        "target": {
            "title": "Service on the tenant",
            "description": "The service to execute; by default the one of the package.",
            "type": "string",
            "pattern": r"^[^/\[\]?]+/[^/\[\]?]+$",
            "patternErrorMessage": "not folder/service",
            "x-form": "folder/service",
            "examples": ["uk/pricing"],
        },
        "version": {
            "title": "Version on the tenant",
            "description": "The version to execute; by default the one that answers by default.",
            "type": "string",
            "minLength": 1,
            "examples": ["1.4.2"],
        },
        "most": {
            "title": "Most cases",
            "description": (
                "The number of cases to execute, spread over the file: each is one call, which the "
                "tenant saves in its history."
            ),
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
            "default": MOST,
        },
        "at": {
            **OPTIONS["properties"]["at"],
            "description": (
                "The date that TODAY() answers in the module; by default that of the run, as on "
                "the tenant."
            ),
            "default": "${run.date}",
        },
        "limits": OPTIONS["properties"]["limits"],
    },
}
