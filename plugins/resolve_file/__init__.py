"""Read services from files: ``@services.txt``, a URI per line, or ``@services.csv#column``."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


# How many invalid lines an error names.
_MAX_SHOWN = 3
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the resolver of entries that begin with ``@``."""
    summary = "Services from a text file, or from a column of a CSV file."
    registry.resolver("file", summary, check, reads, _uris)


@hookimpl(trylast=True)
def impex_resolve_uri(uri: str, target: models.Target, run: models.Run) -> Sequence[str] | None:
    """Return the URIs of a file, in its order, for entries that begin with ``@`` only."""
    if not uri.startswith("@"):
        return None
    try:
        return _uris(uri, run.manifest.path.parent)
    except errors.UriError as error:
        raise errors.UriError(f"target {target.name}: {error}") from error


def check(entry: str, folder: Path) -> str | None:
    """Return the error of an entry or its file, empty if it is valid, None for other entries."""
    if not entry.startswith("@"):
        return None
    try:
        _uris(entry, folder)
    except errors.UriError as error:
        return str(error)
    return ""


def reads(entry: str) -> str:
    """Return the file that an entry names, empty for other entries."""
    return entry[1:].partition("#")[0] if entry.startswith("@") else ""


def _uris(entry: str, folder: Path) -> list[str]:
    """Return the URIs of a file; raise ``UriError`` with the lines that have none."""
    name, separator, column = entry.removeprefix("@").partition("#")
    if not name or bool(separator) != bool(column):
        raise errors.UriError(f"'{entry}' names no file; use @services.txt or @services.csv#column")
    if name.lower().endswith(".csv") and not column:
        raise errors.UriError(f"'{entry}' names no column; use {entry}#column")
    try:
        rows = list(_rows(folder, name, column))
    except OSError as error:
        raise errors.UriError(f"{name!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.UriError(f"{name!r} is not UTF-8 text") from error
    except csv.Error as error:
        raise errors.UriError(f"{name!r} is not valid CSV: {error}") from error
    if not rows:
        raise errors.UriError(f"{name!r} names no service")
    if problems := list(_problems(name, rows)):
        rest = f"; and {len(problems) - _MAX_SHOWN} more" if len(problems) > _MAX_SHOWN else ""
        raise errors.UriError("; ".join(problems[:_MAX_SHOWN]) + rest)
    return [text for _, text in rows]


def _rows(folder: Path, name: str, column: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not empty."""
    # A device or a pipe might never end.
    if not (folder / name).is_file():
        raise errors.UriError(tools.url_problem(name) or f"there is no file {name!r}")
    with (folder / name).open(encoding="utf-8-sig", newline="") as file:
        yield from _column(file, name, column) if column else _lines(file)


def _lines(file: Iterator[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, 1):
        if text := _COMMENT.sub("", line).strip():
            yield number, text


def _column(file: Iterator[str], name: str, column: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each filled cell of a column; the first row is the header."""
    reader = csv.DictReader(file, skipinitialspace=True, strict=True)
    columns = [each.strip() for each in reader.fieldnames or ()]
    if column not in columns:
        known = ", ".join(map(repr, columns))
        raise errors.UriError(f"{name}:1: there is no column {column!r}; known: {known}")
    reader.fieldnames = columns
    for row in reader:
        if text := (row[column] or "").strip():
            yield reader.line_num, text


def _problems(name: str, rows: Sequence[tuple[int, str]]) -> Iterator[str]:
    for number, text in rows:
        try:
            tools.Uri.parse(text)
        except errors.UriError as error:
            yield f"{name}:{number}: {error}"
