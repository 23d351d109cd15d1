"""Durations and sizes as people write them.

Plugins may import this for their own options, which reach them as they were written.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DURATION_FORM = "a duration: 500ms, 3s, 45m, 2h or a number of seconds"
SIZE_FORM = "a size: 512, 64kB, 10MB, 2GiB or another number of bytes"

_MOST = 10**15 - 1
# A longer duration is a hundred years, which every clock and calendar supports.
_LONGEST = 100 * 366 * 86_400.0
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DURATION = re.compile(rf"({_NUMBER})(ms|s|m|h)?")
_SIZE = re.compile(rf"({_NUMBER})(B|[kMGT]B|[KMGT]iB)?")


def _schema(form: str, pattern: str) -> Mapping[str, Any]:
    """Return what an option of this kind says in its schema.

    It has one alternative only: editors show titles of alternatives in place of the option's own.
    """
    return {
        "x-form": form,
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": _MOST,
        "pattern": f"^{pattern}$",
        "patternErrorMessage": f"not {form}",
    }


# For the options of plugins, which add a title and a description.
DURATION_SCHEMA = _schema(DURATION_FORM, _DURATION.pattern)
SIZE_SCHEMA = _schema(SIZE_FORM, _SIZE.pattern)

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def seconds(value: str | float) -> float:
    """Return the seconds that ``500ms``, ``3s``, ``45m``, ``2h`` or a bare number stand for.

    One number and at most one unit; fractions are welcome. Raises ``UsageError``.
    """
    match = _DURATION.fullmatch(_text(value))
    if match is None:
        raise UsageError(f"{value!r} is not {DURATION_FORM}")
    return min(float(Decimal(match[1]) * _SECONDS[match[2] or "s"]), _LONGEST)


def size(value: str | float) -> int:
    """Return the bytes that ``10MB`` (powers of 1000), ``2GiB`` (of 1024) or a number stand for.

    Fractions are rounded down to whole bytes. Raises ``UsageError``.
    """
    match = _SIZE.fullmatch(_text(value))
    if match is None:
        raise UsageError(f"{value!r} is not {SIZE_FORM}")
    return int(Decimal(match[1]) * _BYTES[match[2] or "B"])


def _text(value: str | float) -> str:
    """Return a number in plain digits; a boolean, which Python takes for a number, fits nothing."""
    if isinstance(value, (str, bool)):
        return str(value)
    # A number of the manifest may have more digits than anybody means.
    try:
        return format(round(Decimal(str(value)), 9), "f")
    except (ArithmeticError, ValueError):
        return str(value)
