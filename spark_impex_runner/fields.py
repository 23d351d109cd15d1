"""Read JSON of other programs safely: a value of an unexpected type counts as absent.

``parse`` limits depth and the size of numbers, and replaces NaN, infinity and lone surrogates,
which no UTF-8 file can contain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Far below Python's recursion limit of 1000 frames, some of which the caller has used.
DEPTH = 100
# Integers of 18 digits fit into 64 bits, as databases and other languages require.
_DIGITS = 18
_NAME_LENGTH = 256
_SURROGATES = re.compile("[\ud800-\udfff]")


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise ``ValueError`` if it is invalid or nests too deep.

    NaN and infinity become None, an integer of more than 18 digits a float.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        value = _decoder.decode(text)
        brackets = text.count("[") + text.count("{")
        # Most replies are of this kind.
        is_sane = text.isascii() and "\\u" not in text and brackets <= DEPTH
        return value if is_sane else _sanitized(value, DEPTH)
    except RecursionError:
        raise ValueError("the JSON nests too deep") from None


def text(value: Any) -> str:
    """Return a string, empty for any other value."""
    return value if isinstance(value, str) else ""


def name(value: Any) -> str:
    """Return an id, from a string of at most 256 characters or an integer; else an empty string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = text(value).strip()
    return found if len(found) <= _NAME_LENGTH else ""


def number(value: Any) -> float | None:
    """Return a finite number, None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int:
    """Return an integer of 0 or more, also from a string of digits; 0 for any other value."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _DIGITS else 0
    found = number(value)
    return 0 if found is None or not 0 <= found < 10**_DIGITS else int(found)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, empty for any other value."""
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list, none for any other value."""
    return (one for one in (value if isinstance(value, list) else ()) if isinstance(one, Mapping))


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _DIGITS else _real(digits)


def _real(digits: str) -> float | None:
    return number(float(digits))


def _no_number(_: str) -> None:
    """Return None for NaN and infinity."""


_decoder = json.JSONDecoder(parse_int=_integer, parse_float=_real, parse_constant=_no_number)


def _sanitized(value: Any, depth: int) -> Any:
    """Return a value without lone surrogates; raise ``ValueError`` if it is nested deeper."""
    if isinstance(value, str):
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        raise ValueError("the JSON nests too deep")
    if isinstance(value, list):
        return [_sanitized(each, depth - 1) for each in value]
    return {_sanitized(key, 0): _sanitized(each, depth - 1) for key, each in value.items()}
