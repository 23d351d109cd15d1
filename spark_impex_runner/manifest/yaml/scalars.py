"""Convert a plain YAML scalar to text, a decimal number, a boolean, None or an ambiguous scalar."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.yaml.document import AmbiguousScalar

if TYPE_CHECKING:
    from pathlib import Path

# Bounded, since int() takes quadratic time, and Python refuses more than 4300 digits.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,299})")
_FRACTION = re.compile(
    r"[-+]?(0|[1-9][0-9]{0,199})?\.[0-9]{0,299}(e[-+][0-9]{1,2})?", re.IGNORECASE
)
_CLOCK = re.compile(r"[-+]?[0-9_]+(:[0-9_]+)+(\.[0-9_]*)?")
# Characters that neither file names nor HTTP requests nor SQLite accept.
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
# Limits of ext4, NTFS and APFS for a name, and of Linux for a path (PATH_MAX 4096), with room left
# for the names of files below an output.
_NAME_BYTES = 255
_PATH_BYTES = 3800
_SHOWN = 80
_TAG = "tag:yaml.org,2002:"


def value_of(text: str, tag: str) -> Any:
    """Return the value of a scalar that YAML resolved to ``tag``."""
    kind = tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        # PyYAML resolves all booleans of YAML 1.1, such as yes and off.
        return text.lower() in {"true", "yes", "on"}
    if kind == "int":
        return int(text) if _DECIMAL.fullmatch(text) else _ambiguous(text)
    if kind == "float":
        return float(text) if _FRACTION.fullmatch(text) else _ambiguous(text)
    if kind == "timestamp":
        return AmbiguousScalar(text, "a date")
    return text


def text_fault(text: str) -> str:
    """Return why a text cannot be used anywhere; an empty text if it can."""
    found = None if text.isprintable() else _UNUSABLE.search(text)
    if not found:
        return ""
    return "holds a NUL character" if found[0] == "\0" else "is not UTF-8 text (half a character)"


def path_fault(path: Path) -> str:
    """Return why no file system accepts a path; an empty text if one may."""
    if fault := text_fault(str(path)):
        return f"the path {str(path)!a} {fault}"
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        return (
            f"the encoding of file names here, {error.encoding}, cannot encode {str(path)!a}; "
            "set PYTHONUTF8=1 or a UTF-8 locale"
        )
    longest = max(path.parts, key=len, default="")
    if len(longest.encode()) > _NAME_BYTES or len(str(path).encode()) > _PATH_BYTES:
        return f"the path {str(path)[:_SHOWN]}… is too long: a name may have {_NAME_BYTES} bytes"
    return ""


def _ambiguous(text: str) -> AmbiguousScalar:
    """Return a number that is not written in plain decimal digits, with YAML's reading."""
    if _CLOCK.fullmatch(text):
        total = 0.0
        for part in text.lstrip("-+").replace("_", "").split(":"):
            total = total * 60 + float(part or 0)
        return AmbiguousScalar(text, f"the number {total:g}, counting in sixties")
    if text.startswith("0") and text.isdigit():
        return AmbiguousScalar(text, "an octal number")
    return AmbiguousScalar(text, "a number that is not plain decimal")
