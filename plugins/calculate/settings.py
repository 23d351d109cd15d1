"""The options of the steps as values."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, tools

from .cases import CsvForm
from .options import AT, LIMITS
from .process import Limits
from .values import Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_AT_FORMS: Final = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


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
        most = {**LIMITS, **options.get("limits", {})}
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
