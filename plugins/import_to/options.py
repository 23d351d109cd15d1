"""The JSON Schema of the options of ``import``."""

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
    "dependentSchemas": {
        "four_eyes": {
            "if": {"properties": {"four_eyes": {"const": True}}},
            "then": {"required": ["gate"], "properties": {"gate": {"const": "manual"}}},
        },
        "before": {
            "if": {"properties": {"before": {"const": "backup"}}},
            "then": {"required": ["lock"]},
        },
    },
    "properties": {
        "to": {
            "title": "To",
            "description": "Name of the connection to import the package to.",
            "type": "string",
            "x-connection": True,
            "examples": ["uat"],
        },
        "services": {
            "title": "Services",
            "description": (
                "Services to import from the package, and their targets; by default everything in "
                "it, under its own name."
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
                            "The service that it becomes, in a folder that exists there; by "
                            "default its own name."
                        ),
                        "examples": ["uk/pricing"],
                    },
                    "upgrade": {
                        "title": "Upgrade",
                        "description": (
                            "Part of the version number to increase if versions are added to an "
                            "existing service (if_present: add_version)."
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
                "What to do if a service exists there: fail, replace it with all its versions and "
                "their call history, or add versions to it."
            ),
            "enum": ["abort", "replace", "add_version"],
            "default": "abort",
        },
        "source_system": {
            "title": "Source system",
            "description": "Name of the requesting system, for the tenant's audit log.",
            "type": "string",
            "minLength": 1,
            "examples": ["release-train"],
        },
        "deadline": {
            **tools.DURATION_SCHEMA,
            "title": "Deadline",
            "description": (
                "How long to wait for the import; the same command resumes one that was not done "
                "by then."
            ),
            "default": DEADLINE,
            "examples": ["1h"],
        },
        "interval": {
            **tools.DURATION_SCHEMA,
            "title": "Interval",
            "description": "Time between two status requests.",
            "default": INTERVAL,
            "examples": ["10s"],
        },
        "max_size": {
            **tools.SIZE_SCHEMA,
            "title": "Largest package",
            "description": "Refuse a larger package before the upload; the API's own limit.",
            "default": MAX_SIZE,
            "examples": ["100MB"],
        },
        "lock": {
            "title": "Lock file",
            "description": (
                "File that records each imported package by its SHA-256, relative to the manifest. "
                "With only_locked it is only read, unless before: backup adds the import."
            ),
            "type": "string",
            "minLength": 1,
            "x-path": "write",
            "examples": ["release.lock.json"],
        },
        "only_locked": {
            "title": "Only what is locked",
            "description": "Refuse a package whose SHA-256 is not in the lock file.",
            "type": "boolean",
            "default": False,
        },
        "before": {
            "title": "Before the import",
            "description": (
                "With backup, all versions of the services that the import changes are exported "
                "from that tenant first, into the folder backup of the target's output. The lock "
                "file names their receipt, also with only_locked, for impex rollback. Needs lock."
            ),
            "enum": ["nothing", "backup"],
            "default": "nothing",
        },
        "gate": {
            "title": "Gate",
            "description": (
                "With manual, the import waits for a run with --approve and the name of the "
                "connection, which imports the very same package."
            ),
            "enum": ["none", "manual"],
            "default": "none",
        },
        "four_eyes": {
            "title": "Four eyes",
            "description": (
                "Refuse an approval by the person who started the export or the run that held it. "
                "Needs gate: manual."
            ),
            "type": "boolean",
            "default": False,
        },
    },
}
