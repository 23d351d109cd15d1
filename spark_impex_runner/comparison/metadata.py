"""Read inputs, outputs, defaults and hashes from the metadata of a version.

The names are those of a genuine package, and of the API's answer in the official SDK's samples.
A package does not state types: that of an input is its default's, that of an output is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spark_impex_runner.digests import read_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.models.comparison import Items

# Properties of a version that a person sets. Dates, ids, addresses and sizes are left out.
SETTINGS = (
    "AllowToStoreHistory",
    "CalcMode",
    "CompilerVersion",
    "DefaultEngineType",
    "Description",
    "IsXParameter",
    "OriginalFileName",
    "PublicAPI",
    "ReleaseNote",
    "Tags",
    "VersionLabel",
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_PROPERTIES = {"address": "cell", "default_value": "default"}
_TYPES = ((bool, "boolean"), ((int, float), "number"), (str, "text"), ((list, dict), "table"))


class NotStatedError(Exception):
    """The metadata do not state something; the message says why."""


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: 1.0 is 1, and keys are sorted."""
    # Most rules of most inputs are null: of a large tenant they would be a million texts.
    return "null" if value is None else _ENCODER.encode(_plain(value))


def table(rows: Any, title: str, place: str) -> Items:
    """Return the rows of ``XInputTable`` or ``XOutputTable`` by the name below ``title``.

    Raises ``NotStatedError`` if it is no such table.
    """
    if not isinstance(rows, list):
        raise NotStatedError(f"there is no {place}")
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row.get(title) if isinstance(row, Mapping) else None
        if not isinstance(name, str) or name in found:
            raise NotStatedError(f"{place} has rows without a name of their own")
        found[name] = {
            _property(key): canonical(value) for key, value in row.items() if key != title
        }
    return found


def defaults(rules: Any, place: str) -> Items:
    """Return default, type and rules of each input; raise ``NotStatedError`` without any."""
    if not isinstance(rules, Mapping) or not all(isinstance(e, Mapping) for e in rules.values()):
        raise NotStatedError(f"{place} has no rules of inputs")
    return {
        name: {
            **{_property(key): canonical(value) for key, value in rule.items()},
            "type": canonical(_type(rule.get("default_value"))),
        }
        for name, rule in rules.items()
    }


def settings(engine: Mapping[str, Any]) -> Items:
    """Return the settings that are stated, each with its value."""
    return {name: {"value": canonical(engine[name])} for name in SETTINGS if name in engine}


def hash_text(value: Any) -> str:
    """Return a hash in lower-case hex, whatever its notation; an empty text for no hash."""
    found = read_hash(value) if isinstance(value, str) else None
    return found.digest.hex() if found else ""


def capitalized(found: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the values below these names, which the API writes with a small first letter."""
    values = found if isinstance(found, Mapping) else {}
    lower = {str(key).lower(): value for key, value in values.items()}
    return {name: lower[name.lower()] for name in names if name.lower() in lower}


@lru_cache(4096)
def _property(key: str) -> str:
    return _PROPERTIES.get(key.lower(), key.lower().replace("_", " "))


def _type(value: Any) -> str:
    """Return the type of an input by its default; ``blank`` if that is empty."""
    return next((name for kinds, name in _TYPES if isinstance(value, kinds)), "blank")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
