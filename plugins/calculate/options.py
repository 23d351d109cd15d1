"""The JSON Schema of the options of ``calculate``, and what they mean."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .cases import CsvForm
    from .process import Limits
    from .values import Tolerance

AT: Final = "2026-01-01"
MOST: Final = 20
_AT_FORMS: Final = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_LIMITS: Final = {"case": "1s", "total": "5m", "memory": "256MiB"}

_TOLERANCE: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "exact": {
            "title": "Exact",
            "description": "The numbers must be equal.",
            "enum": [True],
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
                    "default": _LIMITS["case"],
                },
                "total": {
                    **tools.DURATION_SCHEMA,
                    "title": "Time in all",
                    "description": "The longest time of all cases together.",
                    "default": _LIMITS["total"],
                },
                "memory": {
                    **tools.SIZE_SCHEMA,
                    "title": "Memory",
                    "description": "The most memory of the module.",
                    "default": _LIMITS["memory"],
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


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a step, or of a comparison, as values."""

    limits: Limits
    tolerance: Tolerance
    outputs: Mapping[str, Tolerance]
    form: CsvForm
    at: str = AT
    allow_missing: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], cache: Path | None) -> Settings:
        """Return the settings of valid options; raise ``UsageError`` for an impossible date."""
        from .cases import CsvForm  # noqa: PLC0415 - see __init__
        from .process import Limits  # noqa: PLC0415
        from .values import Tolerance  # noqa: PLC0415

        most = {**_LIMITS, **options.get("limits", {})}
        at = str(options.get("at", AT))
        return cls(
            Limits(
                case=tools.parse_duration(most["case"]),
                total=tools.parse_duration(most["total"]),
                memory=tools.parse_size(most["memory"]),
                at=milliseconds(at),
                cache=cache,
            ),
            Tolerance.of(options.get("tolerance", {"digits": 12})),
            {name: Tolerance.of(each) for name, each in options.get("outputs", {}).items()},
            CsvForm(
                options.get("separator", ""),
                tuple(options.get("columns", ())),
                options.get("empty", "fail"),
            ),
            at,
            options.get("missing_inputs", "fail") == "default",
        )


def milliseconds(at: str) -> float:
    """Return a date and time in UTC as milliseconds since 1970."""
    for form in _AT_FORMS:
        try:
            return calendar.timegm(time.strptime(at.removesuffix("Z"), form)) * 1000.0
        except ValueError:
            continue
    raise errors.UsageError(f"at: {at!r} is no date; write it as 2026-01-01 or 2026-01-01T09:30:00")
