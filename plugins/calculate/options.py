"""The JSON Schema of the options of ``calculate``."""

from __future__ import annotations

from typing import Any, Final

from spark_impex_runner import tools

AT: Final = "2026-01-01"
NO_PROGRAM: Final = "a rehearsal starts no program, and a module has a process of its own"
LIMITS: Final = {"case": "1s", "total": "5m", "memory": "256MiB"}

_TOLERANCE: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "exact": {
            "title": "Exact",
            "description": "The numbers must be equal.",
            "type": "boolean",
            "examples": [True],
        },
        "digits": {
            "title": "Significant digits",
            "description": "The numbers may differ by half a unit of this digit, from the first.",
            "type": "integer",
            "minimum": 1,
            "maximum": 15,
            "examples": [12],
        },
        "decimals": {
            "title": "Decimal places",
            "description": "The numbers may differ by half a unit of this decimal place.",
            "type": "integer",
            "minimum": 0,
            "maximum": 15,
            "examples": [2],
        },
        "absolute": {
            "title": "Absolute difference",
            "description": "The numbers may differ by this much.",
            "type": "number",
            "minimum": 0,
            "examples": [0.005],
        },
        "relative": {
            "title": "Relative difference",
            "description": "The numbers may differ by this fraction of the larger one.",
            "type": "number",
            "minimum": 0,
            "examples": [0.000001],
        },
    },
}

OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "cases": {
            "title": "Cases",
            "description": (
                "The file of test cases, relative to the manifest: .csv, .json or .jsonl. Without "
                "it, only the saved default inputs are calculated."
            ),
            "type": "string",
            "minLength": 1,
            "x-path": "read",
            "examples": ["cases/pricing.csv"],
        },
        "against": {
            "title": "Against",
            "description": (
                "Another release to compare with, such as what PROD has: a package or a folder "
                "that was delivered, relative to the manifest; PATH::folder/service[version] for "
                "a service of another name. The same cases are calculated with it; which results "
                "moved is reported, and covered by a later approval. An input that only one of the "
                "two has takes its saved default."
            ),
            "type": "string",
            "minLength": 1,
            "examples": ["exports/on-prod"],
        },
        "service": {
            "title": "Service",
            "description": (
                "The service to calculate, as folder/service or folder/service[version]. Needed "
                "where the packages hold several."
            ),
            "type": "string",
            "minLength": 1,
            "examples": ["motor/pricing"],
        },
        "tolerance": {
            **_TOLERANCE,
            "title": "Tolerance",
            "description": "How far an output may be from the expected number.",
            "default": {"digits": 12},
            "examples": [{"decimals": 2}],
        },
        "outputs": {
            "title": "Outputs",
            "description": "Tolerances of single outputs.",
            "type": "object",
            "additionalProperties": _TOLERANCE,
            "examples": [{"premium": {"absolute": 0.005}}],
        },
        "missing_inputs": {
            "title": "Missing inputs",
            "description": (
                "What to do with a case that does not give all inputs: fail, or take the default "
                "that is saved in the workbook."
            ),
            "enum": ["fail", "default"],
            "default": "fail",
        },
        "empty": {
            "title": "Empty cells",
            "description": (
                "What an empty cell of an input in a CSV file means: an error, the saved default, "
                "or blank, which counts as 0. With default, set missing_inputs as well."
            ),
            "enum": ["fail", "default", "blank"],
            "default": "fail",
        },
        "separator": {
            "title": "Separator",
            "description": "What separates cells of a CSV file; found in its header by default.",
            "enum": [",", ";", "\t"],
        },
        "columns": {
            "title": "Columns",
            "description": "The names of the columns of a CSV file without a header.",
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "examples": [["radius", "height"]],
        },
        "uncalculable": {
            "title": "If it cannot be calculated",
            "description": (
                "What to do with a service that cannot be calculated here: fail, or skip it with "
                "the reason in the result."
            ),
            "enum": ["fail", "skip"],
            "default": "fail",
        },
        "at": {
            "title": "Clock",
            "description": "The date, or date and time in UTC, that TODAY() and NOW() answer.",
            "type": "string",
            "default": AT,
            "examples": ["2026-01-01T09:30:00"],
        },
        "limits": {
            "title": "Limits",
            "description": "What the module may use.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "case": {
                    **tools.DURATION_SCHEMA,
                    "title": "Time of a case",
                    "description": "The longest time of one case.",
                    "default": LIMITS["case"],
                },
                "total": {
                    **tools.DURATION_SCHEMA,
                    "title": "Time in all",
                    "description": "The longest time of all cases together.",
                    "default": LIMITS["total"],
                },
                "memory": {
                    **tools.SIZE_SCHEMA,
                    "title": "Memory",
                    "description": "The most memory of the module.",
                    "default": LIMITS["memory"],
                },
            },
            "examples": [{"case": "1s", "total": "5m", "memory": "256MiB"}],
        },
        "results": {
            "title": "Results",
            "description": (
                "Name of the file in the target's output that gets a line of JSON for each case, "
                "with its outputs."
            ),
            "type": "string",
            "pattern": r"^[^/\\:]*[^/\\:.][^/\\:]*$",
            "patternErrorMessage": "not a file's name without a folder",
            "x-form": "a file's name without a folder",
            "examples": ["results.jsonl"],
        },
        "show_inputs": {
            "title": "Show inputs",
            "description": "Whether the results hold the inputs, which may be personal data.",
            "type": "boolean",
            "default": True,
        },
    },
}
