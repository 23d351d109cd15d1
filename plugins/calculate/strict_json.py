"""Parse JSON, refusing what parsers usually let pass and a module would calculate with."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def parse(text: str, where: str) -> Any:
    """Return a JSON value; raise ``ValueError`` for NaN, too large numbers and equal names."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_real
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is no JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{where}: nests too deep") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def check_names(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for two names that are equal but for upper and lower case.

    A module that gets one input twice keeps the first value as its default for all later cases.
    """
    known: dict[str, str] = {}
    for name in names:
        key = name.casefold()
        if key in known:
            other = known[key]
            twice = f"{other} and {name} are" if other != name else f"{name} is"
            raise ValueError(f"{twice} given twice; upper and lower case count as one")
        known[key] = name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    check_names([name for name, _ in pairs])
    return dict(pairs)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is too large")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
