"""Find what a workbook uses that is not known here; a service that uses it is refused.

One genuine module was seen, and it uses none of this. Where a form is not observed, it is the one
of the public documentation.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The names by which a workbook maps ranges, such as Xsolve_price (documented), as a genuine .data
# has those of inputs and outputs: their length in two bytes, then the name.
_MAPPING: Final = re.compile(rb"(?=(..)(X[A-Za-z]{1,30})_)", re.DOTALL | re.IGNORECASE)
_KNOWN_MAPPINGS: Final = {b"xinput", b"xoutput"}
_LONGEST_NAME: Final = 255
_MAX_TABLE: Final = 64 << 20
_GZIP: Final = 31  # zlib's number for that form
# Functions that answer something else each time, as the compiler's log may name them: a genuine
# one has the names "Round", "Pi" and "Power".
_CHANGING: Final = {"NOW", "TODAY", "RAND", "RANDBETWEEN", "RANDARRAY"}
# Texts by which an image begins: a data URL, or PNG, JPEG and GIF in base64.
_IMAGES: Final = ("data:image/", "iVBORw0KGgo", "/9j/", "R0lGOD")


def unknown_feature(metadata: Mapping[str, Any], rules: Mapping[str, Any]) -> str:
    """Return what ``ModelMetaData.json`` or ``DefaultValidations.json`` state that is not known."""
    engine = metadata.get("EngineInformation")
    engine = engine if isinstance(engine, dict) else {}
    if engine.get("IsXParameter"):
        return "it uses a parameter set (IsXParameter)"
    if engine.get("XReportRanges"):
        return "it makes reports (XReportRanges), whose outputs are not known here"
    inputs = rules.get("outputs")  # sic: the rules list the inputs under this key
    for name, rule in inputs.items() if isinstance(inputs, dict) else ():
        if isinstance(rule, dict) and rule.get("dependent_inputs"):
            return (
                f"the validation of its input {shown(str(name))} is a formula "
                "of other inputs (dependent_inputs)"
            )
    return ""


def shown(name: str) -> str:
    """Return a name on one line, as messages have it."""
    # Not at the top: a child, which needs it for a message alone, starts in half the time.
    from spark_impex_runner import tools  # noqa: PLC0415

    return tools.one_line(name, limit=60)


def unknown_mapping(content: bytes) -> str:
    """Return the first name in a module's ``.data`` that maps no input or output, if there is one.

    Such as ``Xsolve_price``, ``Xvalidate_age``, ``Xparameter_rates`` or ``Xcall_...``.
    """
    try:
        table = zlib.decompressobj(_GZIP).decompress(content, _MAX_TABLE)
    except zlib.error:
        table = content
    for found in _MAPPING.finditer(table):
        length, kind = int.from_bytes(found[1], "little"), found[2]
        if len(kind) < length <= _LONGEST_NAME and kind.lower() not in _KNOWN_MAPPINGS:
            start = found.start(2)
            return table[start : start + length].decode("utf-8", "replace")
    return ""


def changing_functions(log: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which functions of time and chance a compiler's log counts, such as ``NOW``."""
    tokens = log.get("TokenCnt")
    listed = tokens if isinstance(tokens, (list, dict)) else ()
    names = {each.upper() for each in listed if isinstance(each, str)}
    return tuple(sorted(names & _CHANGING))


def unknown_form(outputs: Mapping[str, Any]) -> str:
    """Return which output is neither a single value nor a table, and what it is instead.

    The SDK's source sends and reads tables as lists of objects or of rows.
    """
    for name, value in outputs.items():
        if what := _form(value):
            return f"its output {shown(name)} is {what}, which is not known here"
    return ""


def _form(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str) and value.startswith(_IMAGES):
        return "an image"
    if not isinstance(value, list):
        return ""
    if not all(isinstance(row, (list, dict)) for row in value):
        return "a list, but not of rows"
    nested = any(isinstance(cell, (list, dict)) for row in value for cell in _cells(row))
    return "a table with tables in it" if nested else ""


def _cells(row: Any) -> Iterator[Any]:
    return iter(row.values() if isinstance(row, dict) else row)
