"""JSON from elsewhere, made safe to use; what is not of the type that it should have is absent.

``parse`` bounds what no reader expects: the size of numbers, NaN and infinity, halves of
characters, which no file can hold, and depth, of which Python's recursion bears little.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

DEPTH = 100
# Integers of so many digits fit into 64 bits, which databases and other languages have.
_DIGITS = 18
_NAME_LENGTH = 256
_HALVES = re.compile("[\ud800-\udfff]")


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise ``ValueError`` where it is none, or nests too deep.

    A number that is no finite one becomes None, an integer of more than 18 digits a float.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=_nothing)
        return _sound(value, DEPTH)
    except RecursionError:
        raise ValueError("the JSON nests too deep") from None


def text(value: Any) -> str:
    """Return a text, an empty one for anything else."""
    return value if isinstance(value, str) else ""


def name(value: Any) -> str:
    """Return an id: a text that a person and a URL can bear, or a number; else an empty text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = text(value).strip()
    return found if len(found) <= _NAME_LENGTH else ""


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int:
    """Return a whole number of 0 or more, also where it is written as a text; 0 for all else."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _DIGITS else 0
    found = number(value)
    return 0 if found is None or not 0 <= found < 10**_DIGITS else int(found)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list; anything else holds none."""
    return (one for one in (value if isinstance(value, list) else ()) if isinstance(one, Mapping))


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _DIGITS else _real(digits)


def _real(digits: str) -> float | None:
    return number(float(digits))


def _nothing(_: str) -> None:
    """Return what NaN and infinity are here."""


def _sound(value: Any, depth: int) -> Any:
    """Return a value without halves of characters; raise ``ValueError`` below ``depth``."""
    if isinstance(value, str):
        return _HALVES.sub("\N{REPLACEMENT CHARACTER}", value)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        raise ValueError("the JSON nests too deep")
    if isinstance(value, list):
        return [_sound(each, depth - 1) for each in value]
    return {_sound(key, 0): _sound(each, depth - 1) for key, each in value.items()}
