"""The options of the step ``import``, as a manifest may write them."""

from __future__ import annotations

from typing import Any, Final

from spark_impex_runner import tools

MAX_SIZE = "200MiB"
DEADLINE, INTERVAL = "30m", "3s"
_SERVICE = {
    "type": "string",
    "pattern": r"^[^/\[\]?]+/[^/\[\]?]+$",
    "patternErrorMessage": "not folder/service",
    "x-form": "folder/service",
}
_SOURCE = {
    "type": "string",
    "pattern": r"^[^/\[\]?]+/[^/\[\]?]+(\[[^/\[\]?]+\])?$",
    "patternErrorMessage": "not folder/service or folder/service[1.2.3]",
    "x-form": "folder/service or folder/service[1.2.3]",
}
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to"],
    "if": {"properties": {"only_locked": {"const": True}}, "required": ["only_locked"]},
    "then": {"required": ["lock"]},
    "properties": {
        "to": {
            "title": "To",
            "description": "Name of the connection whose tenant takes the package.",
            "type": "string",
            "x-connection": True,
            "examples": ["uat"],
        },
        "services": {
            "title": "Services",
            "description": (
                "What is imported from the package, and where it goes; everything in it, under "
                "its own name, where this is absent."
            ),
            "type": "array",
            "minItems": 1,
            "examples": [["motor/pricing"], [{"source": "motor/pricing", "target": "uk/pricing"}]],
            "items": {
                "type": ["string", "object"],
                "if": {"type": "string"},
                "then": _SOURCE,
                "additionalProperties": False,
                "required": ["source"],
                "properties": {
                    "source": {
                        **_SOURCE,
                        "title": "Source",
                        "description": "The service in the package.",
                        "examples": ["motor/pricing[1.4.2]"],
                    },
                    "target": {
                        **_SERVICE,
                        "title": "Target",
                        "description": (
                            "The service that it becomes, in a folder that exists there; its own "
                            "name where this is absent."
                        ),
                        "examples": ["uk/pricing"],
                    },
                    "upgrade": {
                        "title": "Upgrade",
                        "description": (
                            "Which part of the version number grows where versions are added to "
                            "a service that exists (if_present: add_version)."
                        ),
                        "enum": ["major", "minor", "patch"],
                        "default": "minor",
                    },
                },
            },
        },
        "if_present": {
            "title": "If present",
            "description": (
                "What happens where a service exists there: the import fails, replaces it with all "
                "its versions and their call history, or adds versions to it."
            ),
            "enum": ["abort", "replace", "add_version"],
            "default": "abort",
        },
        "source_system": {
            "title": "Source system",
            "description": "Name of the system that asks, for the tenant's audit.",
            "type": "string",
            "minLength": 1,
            "examples": ["release-train"],
        },
        "deadline": {
            **tools.DURATION_SCHEMA,
            "title": "Deadline",
            "description": (
                "How long the import is waited for; the same command goes on with one that was "
                "not done by then."
            ),
            "default": DEADLINE,
            "examples": ["1h"],
        },
        "interval": {
            **tools.DURATION_SCHEMA,
            "title": "Interval",
            "description": "Time between two looks at the import.",
            "default": INTERVAL,
            "examples": ["10s"],
        },
        "max_size": {
            **tools.SIZE_SCHEMA,
            "title": "Largest package",
            "description": "A larger package is refused before the upload; the API's own limit.",
            "default": MAX_SIZE,
            "examples": ["100MB"],
        },
        "lock": {
            "title": "Lock file",
            "description": (
                "File to which each package is added when it has been imported, by its SHA-256; "
                "relative to the manifest. With only_locked it is read, and nothing is added."
            ),
            "type": "string",
            "minLength": 1,
            "x-path": "write",
            "examples": ["release.lock.json"],
        },
        "only_locked": {
            "title": "Only what is locked",
            "description": "Refuse a package whose SHA-256 the lock file does not hold.",
            "type": "boolean",
            "default": False,
        },
        "gate": {
            "title": "Gate",
            "description": (
                "With manual the target is held until a run is given --approve with the name of "
                "the connection; the very same package is then imported."
            ),
            "enum": ["none", "manual"],
            "default": "none",
        },
    },
}
